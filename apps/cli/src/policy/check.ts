import {
  assignRings,
  DEFAULT_TIME_ZONE,
  goByHostTime,
  labelsOf,
  windowsIn,
  nearest,
  type PolicyInForce,
  type RingWindow,
  type RolloutPolicy,
} from '@floe/model';
import { isTimeZone, parseFleetPolicy } from '@floe/protocol';
import { NEVER_OPENS, NOT_NAMED, TOO_OFTEN, yearOfWindows, type YearOfWindows } from '@floe/runtime';
import type { FleetSource } from './fleet-source.ts';

/** What a check found out about a policy. */
export interface PolicyCheck {
  /** What the server refuses, or what makes a host or a ring stand still. */
  readonly problems: readonly string[];
  /** What is probably not meant. */
  readonly notes: readonly string[];
  /** Undefined: the policy cannot be read. */
  readonly read: PolicyInForce | undefined;
  /** False: only the policy was given, so the rings have no hosts. */
  readonly knowsHosts: boolean;
}

/** Windows are looked at for a year from `now` on. */
export function checkPolicy(source: FleetSource, now: number): PolicyCheck {
  const parsed = parseFleetPolicy(source.policy);
  const knowsHosts = source.hosts !== undefined;
  if (parsed.kind === 'problems') return { problems: [...parsed.problems, ...source.problems], notes: source.notes, read: undefined, knowsHosts };
  const { policy } = parsed;
  const hosts = source.hosts ?? [];
  const read: PolicyInForce = { policy, hosts, assignment: assignRings(policy, hosts) };
  const windows = windowsOf(read, now);
  return {
    problems: [
      ...source.problems,
      ...read.assignment.problems.map(({ host, message }) => `${host}: services.floe.agent.ring: ${message}`),
      ...unknownZones(read),
      ...windows.filter(({ isClosed }) => isClosed).map(({ message }) => message),
      ...missingChecks(policy, source.checks),
    ],
    notes: [
      ...(source.policy === undefined ? [noPolicy(source)] : []),
      ...source.notes,
      ...windows.filter(({ isClosed }) => !isClosed).map(({ message }) => message),
      ...checksOfOtherPlatforms(policy, source.checks),
      ...(knowsHosts ? [...emptyRings(read), ...unknownNames(read), ...emptyBudgets(read)] : []),
    ],
    read,
    knowsHosts,
  };
}

/** A policy that was forgotten, or misspelt, is no error: a fleet may have none. */
function noPolicy({ outputs }: FleetSource): string {
  const advice = outputs === undefined ? '' : meant('floe', outputs);
  return `there is no output floe, so all hosts are in one ring, and nothing waits${advice}`;
}

interface WindowFinding {
  readonly isClosed: boolean;
  readonly message: string;
}

/** Rings whose changes can never begin, or not for hosts of some time zone, and windows without effect. */
function windowsOf(read: PolicyInForce, now: number): readonly WindowFinding[] {
  const year = yearOfWindows(now);
  // Whether a ring opens matters more than why it does not.
  const looks = read.policy.rings.map(({ windows }, index) => {
    const byZone = goByHostTime(windows)
      ? zonesOf(read, index).map((zone) => ({ zone, windows: windowsIn(windows, zone) }))
      : [{ zone: '', windows }];
    return { path: `rings[${index}].windows`, byZone: byZone.map((each) => ({ ...each, isClosed: year.neverOpens([each.windows]) })) };
  });
  return looks.flatMap(({ path, byZone }) => {
    const closed = byZone.filter(({ isClosed }) => isClosed === true);
    const found = byZone.flatMap((each) => problemsOf(year, each.windows)).map((message) => `${path}${message}`);
    const notes = [...new Set(found)].map((message) => ({ isClosed: false, message }));
    if (byZone.some(({ isClosed }) => isClosed === undefined)) return [{ isClosed: true, message: `${path}: ${TOO_OFTEN}` }, ...notes];
    if (closed.length === 0) return notes;
    const message =
      closed.length === byZone.length
        ? `${path}: ${NEVER_OPENS}`
        : `${path}: together they never open within a year for hosts in ${closed.map(({ zone }) => zone).join(', ')}, which get no changes`;
    return [{ isClosed: true, message }, ...notes];
  });
}

/** What is wrong with single windows, after the path of all of them. */
function problemsOf(year: YearOfWindows, windows: readonly RingWindow[]): readonly string[] {
  return year.problems(windows)?.map(({ index, message }) => `[${index}]: ${message}`) ?? [`: ${NOT_NAMED}`];
}

/** The time zones of the hosts in a ring. */
function zonesOf({ hosts, assignment }: PolicyInForce, ring: number): readonly string[] {
  const zones = hosts.filter(({ host }) => assignment.ringOf.get(host) === ring).map(({ timeZone }) => timeZone ?? DEFAULT_TIME_ZONE);
  const known = [...new Set(zones)].filter(isTimeZone).toSorted();
  return known.length === 0 ? [DEFAULT_TIME_ZONE] : known;
}

/** Hosts whose windows go by a time zone that does not exist. */
function unknownZones({ policy, hosts, assignment }: PolicyInForce): readonly string[] {
  return hosts.flatMap(({ host, timeZone }) => {
    const ring = policy.rings[assignment.ringOf.get(host) ?? -1];
    if (timeZone === undefined || isTimeZone(timeZone) || !goByHostTime(ring?.windows ?? [])) return [];
    return [`${host}: time.timeZone: "${timeZone}" is not a time zone, and windows of ring ${ring?.name} go by it`];
  });
}

function missingChecks({ checks }: RolloutPolicy, known: FleetSource['checks']): readonly string[] {
  if (known === undefined) return [];
  return checks.flatMap((check, index) => {
    if (known.has(check)) return [];
    return [`checks[${index}]: "${check}" is not a check of the flake${meant(check, [...known.keys()])}`];
  });
}

/** Which platform the server has is not known here. */
function checksOfOtherPlatforms({ checks }: RolloutPolicy, known: FleetSource['checks']): readonly string[] {
  return checks.flatMap((check, index) =>
    (known?.get(check) ?? []).map(
      (platform) => `checks[${index}]: there is no checks.${platform}.${check}: on a server of that platform the commit fails`,
    ),
  );
}

function meant(name: string, names: readonly string[]): string {
  const [first] = nearest(name, names);
  return first === undefined ? '' : `; did you mean ${first}?`;
}

function emptyRings({ policy, assignment }: PolicyInForce): readonly string[] {
  const filled = new Set(assignment.ringOf.values());
  return policy.rings.flatMap(({ name }, index) => (filled.has(index) ? [] : [`rings[${index}]: nobody is in ring ${name}`]));
}

/** Names that the policy knows and the fleet does not: hosts without a host, labels without a host. */
function unknownNames({ policy, hosts }: PolicyInForce): readonly string[] {
  const names = new Set<string>(hosts.map(({ host }) => host));
  const labels = new Set(hosts.flatMap((host) => labelsOf(policy, host)));
  const isName = (text: string): boolean => !text.includes('*') && !text.includes('?');
  const ofRings = policy.rings.flatMap(({ members }, index) => [
    ...members.hosts.flatMap((host, at) =>
      !isName(host) || names.has(host) ? [] : [`rings[${index}].hosts[${at}]: there is no host ${host}${meant(host, [...names])}`],
    ),
    ...members.labels.flatMap((label, at) =>
      labels.has(label) ? [] : [`rings[${index}].labels[${at}]: no host has the label ${label}${meant(label, [...labels])}`],
    ),
  ]);
  const labelled = Object.keys(policy.labels).filter((host) => !names.has(host));
  return [...ofRings, ...labelled.map((host) => `labels.${host}: there is no host ${host}${meant(host, [...names])}`)];
}

function emptyBudgets({ policy, hosts }: PolicyInForce): readonly string[] {
  const labels = new Set(hosts.flatMap((host) => labelsOf(policy, host)));
  return policy.budgets.flatMap(({ label }) =>
    labels.has(label) ? [] : [`budgets."${label}": no host has the label ${label}${meant(label, [...labels])}`],
  );
}
