import type { HostName } from '../brands.ts';
import { NOTIFICATION_KINDS, type NotificationKind } from '../notification.ts';
import { ROLES } from '../roles.ts';
import { GATE_WORDS, type RingGate } from './gate-words.ts';
import { labelsOf, type RingAssignment, type RingCandidate } from './membership.ts';
import { compareRings, pairRings } from './moves.ts';
import { timeLimit } from '../duration.ts';
import { shrinkWords, type ShrinkLimit } from '../shrink.ts';
import { DEFAULT_TIME_ZONE, goByHostTime } from './time-zones.ts';
import type { Approvals, RingPolicy, RingProbe, RingWindow, RolloutPolicy } from './policy.ts';

/** A policy, and the fleet that it holds for. */
export interface PolicyInForce {
  readonly policy: RolloutPolicy;
  readonly hosts: readonly RingCandidate[];
  readonly assignment: RingAssignment;
}

/** `weaker`: a bad revision could reach more hosts, or reach them sooner. `other`: neither weaker nor stronger. */
export type ChangeDirection = 'weaker' | 'stronger' | 'other';

/** One difference between two policies, in words. */
export interface PolicyChange {
  readonly direction: ChangeDirection;
  readonly text: string;
  /** All hosts that it is about, where it is about some: the text names only a few. */
  readonly hosts?: readonly HostName[] | undefined;
}

/** How many hosts a change names. */
const MAX_NAMED = 5;

/** Every difference between two policies: those that make it weaker first. */
export function comparePolicies(before: PolicyInForce, after: PolicyInForce): readonly PolicyChange[] {
  const changes = Object.values(COMPARISONS).flatMap((compare) => compare(before, after));
  const unique = [...new Map(changes.map((change) => [change.text, change])).values()];
  return ORDER.flatMap((direction) => unique.filter((change) => change.direction === direction));
}

const ORDER: readonly ChangeDirection[] = ['weaker', 'stronger', 'other'];

/** How `after` is weaker than `before`. A revision with such a policy waits for an administrator. */
export function weakenings(before: PolicyInForce, after: PolicyInForce): readonly PolicyChange[] {
  return comparePolicies(before, after).filter(({ direction }) => direction === 'weaker');
}

type Compare = (before: PolicyInForce, after: PolicyInForce) => readonly PolicyChange[];

/** A field of the policy without an entry does not compile: a gate that nobody compares could be loosened in silence. */
const COMPARISONS: Readonly<Record<keyof RolloutPolicy, Compare>> = {
  rings: (before, after) => [
    ...ringsThemselves(before, after),
    ...gatesOfRings(before, after),
    ...hostsOfRings(before, after),
    ...zonesOfHosts(before, after),
  ],
  labels: hostsOfBudgets,
  maxInFlight: ({ policy: { maxInFlight: was } }, { policy: { maxInFlight: is } }) =>
    was === is ? [] : [{ direction: byLimit(was, is), text: `the fleet: ${fleetLimit(is)} instead of ${fleetLimit(was)}` }],
  budgets: budgets,
  checks: ({ policy: was }, { policy: is }) => [
    ...was.checks
      .filter((check) => !is.checks.includes(check))
      .map((check) => changed('weaker', `the check "${check}" is not built before a release any more`)),
    ...is.checks
      .filter((check) => !was.checks.includes(check))
      .map((check) => changed('stronger', `the check "${check}" must build before a release`)),
  ],
  steppingStones: ({ policy: { steppingStones: was } }, { policy: { steppingStones: is } }) => [
    ...was.filter((name) => !is.includes(name)).map((name) => changed('weaker', `hosts need not run the stepping stone ${name} any more`)),
    ...is
      .filter((name) => !was.includes(name))
      .map((name) => changed('stronger', `hosts have to run the stepping stone ${name} before anything newer`)),
  ],
  shrink: ({ policy: { shrink: was } }, { policy: { shrink: is } }) => {
    const direction = worst(lessIsWeaker(is.percent, was.percent), lessIsWeaker(goneFrom(is), goneFrom(was)));
    return direction === undefined ? [] : [changed(direction, `a commit is ${shrinkWords(is)} instead of ${shrinkWords(was)}`)];
  },
  presence: ({ policy: { presence: was } }, { policy: { presence: is } }) =>
    was.staleMs === is.staleMs && was.lostMs === is.lostMs
      ? []
      : [changed('other', `${presenceLimitWords(is)} instead of ${presenceLimitWords(was)}`)],
  // What is downloaded only is not run: nothing reaches a host sooner.
  downloads: ({ policy: { downloads: was } }, { policy: { downloads: is } }) =>
    downloadWords(was) === downloadWords(is) ? [] : [changed('other', `${downloadWords(is)} instead of ${downloadWords(was)}`)],
  // Whoever is told or not, no host is reached sooner; and a policy takes nothing from those whom the server's settings name.
  notify: ({ policy: was }, { policy: is }) =>
    NOTIFICATION_KINDS.filter((kind) => toldOf(was, kind) !== toldOf(is, kind)).map((kind) =>
      changed('other', `${kind} is also told to ${toldOf(is, kind) || 'nobody'} instead of ${toldOf(was, kind) || 'nobody'}`),
    ),
};

function toldOf({ notify }: RolloutPolicy, kind: NotificationKind): string {
  return [...new Set(notify[kind])].toSorted().join(', ');
}

/** "rollout-paused is also told to chat" */
export function notifyWords(policy: RolloutPolicy): readonly string[] {
  return NOTIFICATION_KINDS.filter((kind) => toldOf(policy, kind) !== '').map((kind) => `${kind} is also told to ${toldOf(policy, kind)}`);
}

/** "a host is stale after 7 d, lost after 30 d" */
export function presenceLimitWords({ staleMs, lostMs }: RolloutPolicy['presence']): string {
  return `a host is stale after ${timeLimit(staleMs)}, lost after ${timeLimit(lostMs)}`;
}

/** From how many missing hosts on a host list may be held, before all are gone. */
function goneFrom({ percent, hosts }: ShrinkLimit): number {
  return percent >= 100 ? Number.POSITIVE_INFINITY : hosts;
}

/** "downloads ahead, spread over 10 min" */
export function downloadWords({ ahead, spreadMs }: RolloutPolicy['downloads']): string {
  if (!ahead) return 'no downloads ahead';
  return `downloads ahead, ${spreadMs === 0 ? 'all at once' : `spread over ${timeLimit(spreadMs)}`}`;
}

function changed(direction: ChangeDirection, text: string, hosts?: readonly HostName[]): PolicyChange {
  return hosts === undefined ? { direction, text } : { direction, text, hosts };
}

/** By a limit, where undefined is none. */
function byLimit(was: number | undefined, is: number | undefined): ChangeDirection {
  return (is ?? Number.POSITIVE_INFINITY) > (was ?? Number.POSITIVE_INFINITY) ? 'weaker' : 'stronger';
}

function fleetLimit(hosts: number | undefined): string {
  return hosts === undefined ? 'no limit' : `at most ${hosts} at once`;
}

function budgets({ policy: before }: PolicyInForce, { policy: after }: PolicyInForce): readonly PolicyChange[] {
  const [was, is] = [before, after].map((policy) => new Map(policy.budgets.map(({ label, atMost }) => [label, atMost])));
  return [...new Set([...(was?.keys() ?? []), ...(is?.keys() ?? [])])].flatMap((label) => {
    const [old, next] = [was?.get(label), is?.get(label)];
    return old === next ? [] : [changed(byLimit(old, next), `the label ${label}: ${fleetLimit(next)} instead of ${fleetLimit(old)}`)];
  });
}

/** A host without the label is not counted by its budget. */
function hostsOfBudgets(before: PolicyInForce, after: PolicyInForce): readonly PolicyChange[] {
  const now = new Map(after.hosts.map((each) => [each.host, labelsOf(after.policy, each)]));
  const had = before.hosts.map((each) => ({ host: each.host, labels: labelsOf(before.policy, each) }));
  return before.policy.budgets.flatMap(({ label }) => {
    const lost = had.filter(({ host, labels }) => labels.includes(label) && now.get(host)?.includes(label) === false).map(({ host }) => host);
    return lost.length === 0 ? [] : [changed('weaker', `${count(lost)} without the label ${label}, which has a budget: ${some(lost)}`, lost)];
  });
}

/** With one ring, all hosts changed at once: others after it, and hosts in them, are not weaker as long as their gates are not. */
function isSingle({ rings }: RolloutPolicy): boolean {
  return rings.length === 1;
}

function ringsThemselves({ policy: before }: PolicyInForce, { policy: after }: PolicyInForce): readonly PolicyChange[] {
  const pairs = pairRings(before, after);
  const kept = new Set(pairs.values());
  const gone = isSingle(before)
    ? []
    : before.rings.filter((_, index) => !kept.has(index)).map(({ name }) => changed('weaker', `ring ${name} is gone, with its gates`));
  const added = after.rings.filter((_, index) => !pairs.has(index)).map(({ name }) => changed('other', `ring ${name} is new`));
  const renamed = [...pairs].flatMap(([to, from]) => {
    const [was, is] = [before.rings[from]?.name, after.rings[to]?.name];
    return was === is ? [] : [changed('other', `ring ${was} is called ${is}`)];
  });
  let highest = -1;
  const early = after.rings.flatMap(({ name }, index) => {
    const was = pairs.get(index) ?? highest;
    const isEarly = was < highest;
    highest = Math.max(highest, was);
    return isEarly ? [changed('weaker', `ring ${name} comes after a ring that it came before`)] : [];
  });
  return [...gone, ...early, ...renamed, ...added];
}

function gatesOfRings({ policy: before }: PolicyInForce, { policy: after }: PolicyInForce): readonly PolicyChange[] {
  if (isSingle(before)) return after.rings.flatMap((ring) => gatesOfRing(before.rings[0], ring));
  const pairs = pairRings(before, after);
  const same = [...pairs].flatMap(([to, from]) => gatesOfRing(before.rings[from], after.rings[to]));
  // The first ring in which a host changes has the gates of the first of all, so a new one in front replaces them.
  const isFirstNew = pairs.get(0) !== 0;
  return [...same, ...(isFirstNew ? gatesOfRing(before.rings[0], after.rings[0], 'the first ring') : [])];
}

function gatesOfRing(before: RingPolicy | undefined, after: RingPolicy | undefined, title = `ring ${after?.name}`): readonly PolicyChange[] {
  if (before === undefined || after === undefined) return [];
  return (Object.keys(GATES) as RingGate[]).flatMap((gate) => {
    const direction = GATES[gate](before, after);
    return direction === undefined ? [] : [changed(direction, `${title}: ${GATE_WORDS[gate](after)} instead of ${GATE_WORDS[gate](before)}`)];
  });
}

/** The gates of a ring that are weaker than those of another. */
export function weakerGates(was: RingPolicy, is: RingPolicy): readonly RingGate[] {
  return (Object.keys(GATES) as RingGate[]).filter((gate) => GATES[gate](was, is) === 'weaker');
}

function lessIsWeaker(was: number, is: number): ChangeDirection | undefined {
  if (was === is) return undefined;
  return is < was ? 'weaker' : 'stronger';
}

/** How a gate changes; undefined: it does not. */
const GATES: Readonly<Record<RingGate, (was: RingPolicy, is: RingPolicy) => ChangeDirection | undefined>> = {
  successPercent: (was, is) => lessIsWeaker(was.successPercent, is.successPercent),
  errors: (was, is) => worst(lessIsWeaker(is.errors.percent, was.errors.percent), lessIsWeaker(errorsFrom(is), errorsFrom(was))),
  minVerified: (was, is) => lessIsWeaker(was.minVerified, is.minVerified),
  soakMs: (was, is) => lessIsWeaker(was.soakMs, is.soakMs),
  // What is over its deadline pauses, and what is not waits: neither lets the next ring begin.
  deadlineMs: (was, is) => (was.deadlineMs === is.deadlineMs ? undefined : 'other'),
  maxInFlight: (was, is) => (was.maxInFlight === is.maxInFlight ? undefined : byLimit(was.maxInFlight, is.maxInFlight)),
  windows: (was, is) => compareWindows(was.windows, is.windows),
  approvals: ({ approvals: was = NO_APPROVALS }, { approvals: is = NO_APPROVALS }) =>
    worst(
      lessIsWeaker(was.count, is.count),
      lessIsWeaker(ROLES.indexOf(was.role), ROLES.indexOf(is.role)),
      lessIsWeaker(Number(was.notAuthor), Number(is.notAuthor)),
    ),
  probes: (was, is) => compareProbes(was.probes, is.probes),
  pauseAfter: (was, is) => lessIsWeaker(Number(was.pauseAfter), Number(is.pauseAfter)),
};

/** One that is gone sees nothing any more, and one that is asked less often sees it later. */
function compareProbes(was: readonly RingProbe[], is: readonly RingProbe[]): ChangeDirection | undefined {
  const isWithout = (probes: readonly RingProbe[], others: readonly RingProbe[]): boolean =>
    probes.some(({ name, everyMs }) => !others.some((other) => other.name === name && other.everyMs <= everyMs));
  return isWithout(was, is) ? 'weaker' : isWithout(is, was) ? 'stronger' : undefined;
}

/** From how many started hosts on failures pause. */
function errorsFrom({ errors: { percent, minStarted } }: RingPolicy): number {
  return percent >= 100 ? Number.POSITIVE_INFINITY : minStarted;
}

const NO_APPROVALS: Approvals = { count: 0, role: 'viewer', notAuthor: false };

/** What is weaker in one way is weaker, whatever else it is. */
function worst(...directions: readonly (ChangeDirection | undefined)[]): ChangeDirection | undefined {
  return ORDER.find((direction) => directions.includes(direction));
}

/** Weaker, unless each time at which changes may begin now was such a time before, as far as it is plain to see. */
function compareWindows(was: readonly RingWindow[], is: readonly RingWindow[]): ChangeDirection | undefined {
  const isNotMore = isWithin(is, was);
  const isNotLess = isWithin(was, is);
  if (isNotMore && isNotLess) return undefined;
  return isNotMore ? 'stronger' : 'weaker';
}

function isWithin(inner: readonly RingWindow[], outer: readonly RingWindow[]): boolean {
  const allows = (windows: readonly RingWindow[]): readonly RingWindow[] => windows.filter(({ kind }) => kind === 'allow');
  const covers = (given: readonly RingWindow[], window: RingWindow): boolean =>
    given.some(
      ({ kind, cron, timeZone, durationMs }) =>
        kind === window.kind && cron === window.cron && timeZone === window.timeZone && durationMs >= window.durationMs,
    );
  const isAllowed = allows(outer).length === 0 || (allows(inner).length > 0 && allows(inner).every((window) => covers(outer, window)));
  return isAllowed && outer.every((window) => window.kind === 'allow' || covers(inner, window));
}

function hostsOfRings(before: PolicyInForce, after: PolicyInForce): readonly PolicyChange[] {
  const moves = Map.groupBy(compareRings(before, after), ({ from, to }) => `${from} ${to}`);
  const moved = [...moves.values()].map((each) => {
    const hosts = each.map(({ host }) => host);
    const [was, is] = [before.policy.rings[each[0]?.from ?? 0], after.policy.rings[each[0]?.to ?? 0]];
    // Earlier, they are asked before others were; later, fewer are asked before the others.
    return changed(
      isSingle(before.policy) ? 'other' : 'weaker',
      `${count(hosts)} from ${was === undefined ? 'a ring that is gone' : `ring ${was.name}`} to ring ${is?.name}: ${some(hosts)}`,
      hosts,
    );
  });
  if (isSingle(before.policy)) return moved;
  const [filledBefore, filledAfter] = [before, after].map(({ assignment }) => new Set(assignment.ringOf.values()));
  const emptied = [...pairRings(before.policy, after.policy)].flatMap(([to, from]) =>
    filledBefore?.has(from) === true && filledAfter?.has(to) === false
      ? [changed('weaker', `ring ${after.policy.rings[to]?.name} has no hosts any more`)]
      : [],
  );
  return [...moved, ...emptied];
}

/** Hosts whose windows are at another time than before, because their own time zone is another one. */
function zonesOfHosts(before: PolicyInForce, after: PolicyInForce): readonly PolicyChange[] {
  const was = new Map(before.hosts.map((each) => [each.host, each]));
  const goesByOwn = ({ policy, assignment }: PolicyInForce, host: HostName): boolean =>
    goByHostTime(policy.rings[assignment.ringOf.get(host) ?? -1]?.windows ?? []);
  const moved = after.hosts.filter(({ host, timeZone = DEFAULT_TIME_ZONE }) => {
    const old = was.get(host);
    return old !== undefined && (old.timeZone ?? DEFAULT_TIME_ZONE) !== timeZone && goesByOwn(before, host) && goesByOwn(after, host);
  });
  const hosts = moved.map(({ host }) => host);
  return moved.length === 0
    ? []
    : [changed('weaker', `${count(hosts)} with windows in another time zone, by its own configuration: ${some(hosts)}`, hosts)];
}

function count(hosts: readonly HostName[]): string {
  return hosts.length === 1 ? '1 host' : `${hosts.length} hosts`;
}

function some(hosts: readonly HostName[]): string {
  const named = hosts.slice(0, MAX_NAMED).join(', ');
  return hosts.length > MAX_NAMED ? `${named} and ${hosts.length - MAX_NAMED} more` : named;
}
