import { hasApprovals, whyNoTrial } from '@floe/model';
import { bindsOf, isKeptByPerson, ordersOf, releaseOf, reportedBy } from './facts.ts';
import { look } from './server-side.ts';
import { NOW, type Limits, type Scene } from './scene.ts';
import { changeOf, systemIn, systemOf, withHost, type Host, type State } from './state.ts';
import { beginTrial, endTrial, retry } from './told.ts';

// What people decide about hosts, and take back.

/** Something that a person can do now; `spends`: of which there is only so much. */
export interface Deed {
  readonly label: string;
  readonly to: State;
  readonly spends?: keyof Limits;
}

export function deedsOf(state: State, scene: Scene): readonly Deed[] {
  return [
    ...state.hosts.flatMap((host) => [...ofHost(state, host, scene), ...ofPins(state, host, scene), ...ofTrials(state, host, scene)]),
    ...ofLabels(state, scene),
    ...ofApprovals(state, scene),
  ];
}

function ofHost(state: State, host: Host, scene: Scene): Deed[] {
  const { name, row } = host;
  const deeds: Deed[] = [];
  const add = (label: string, changed: Partial<Host['row']>, spends?: keyof Limits): void =>
    void deeds.push({ label: `${name}: ${label}`, to: withHost(state, { ...host, row: { ...row, ...changed } }), ...(spends && { spends }) });
  if (row.held !== undefined) add('the hold ends', { held: undefined });
  // A system that a person quarantined there is not held.
  else if (row.directed !== undefined && !row.ordered.includes(systemOf(name, row.directed)))
    add('a person holds it where it is', { held: row.directed }, 'holds');
  for (let revision = 1; revision <= state.newest; revision += 1) {
    if (changeOf(name, revision, scene) < revision) continue;
    const system = systemOf(name, revision);
    if (row.ordered.includes(system))
      add(`the quarantine of revision ${revision} is lifted`, { ordered: row.ordered.filter((each) => each !== system) });
    else add(`a person quarantines revision ${revision}`, { ordered: [...row.ordered, system].toSorted() }, 'bans');
    if (system === systemIn(state.newest, host, scene) && row.quarantined.includes(system) && !row.ordered.includes(system))
      deeds.push({ label: `${name}: a person has it try revision ${revision} again`, to: withHost(state, retry(host, system)), spends: 'retries' });
  }
  return deeds;
}

/** To any revision that has a release of its own for it: an administrator lets it go back there. */
function ofPins(state: State, host: Host, scene: Scene): Deed[] {
  const { name, row } = host;
  const pinned = (to: Host['row']['pinned']): State => withHost(state, { ...host, row: { ...row, pinned: to } });
  if (row.pinned !== undefined) return [{ label: `${name}: the pin ends`, to: pinned(undefined) }];
  return releasesOf(state, host, scene)
    .filter((revision) => !row.ordered.includes(systemOf(name, revision)))
    .map((revision) => ({ label: `${name}: an administrator pins it to revision ${revision}`, to: pinned(revision), spends: 'pins' }));
}

function ofTrials(state: State, host: Host, scene: Scene): Deed[] {
  const { name, row } = host;
  if (row.trial?.isEnded === false) return [{ label: `${name}: the server ends its trial`, to: withHost(state, endTrial(host)) }];
  const facts = {
    isEnrolled: true,
    knowsTrials: true,
    quarantined: new Set(row.quarantined),
    ordered: new Set(row.ordered),
    observed: reportedBy(host).observed,
  };
  return releasesOf(state, host, scene)
    .filter((revision) => whyNoTrial(facts, releaseOf(host, revision, scene).toplevel) === undefined)
    .map((revision) => ({
      label: `${name}: a person has it try revision ${revision}`,
      to: withHost(state, beginTrial(host, revision)),
      spends: 'trials',
    }));
}

/** The revisions that change it. */
function releasesOf({ newest }: State, { name }: Host, scene: Scene): readonly number[] {
  return Array.from({ length: newest + 1 }, (_, revision) => revision).filter((revision) => changeOf(name, revision, scene) === revision);
}

function ofLabels(state: State, { labels }: Scene): Deed[] {
  const { stopped } = state;
  return [...new Set(labels)].map((label): Deed =>
    stopped.includes(label)
      ? { label: `the stop of the label ${label} ends`, to: { ...state, stopped: stopped.filter((each) => each !== label) } }
      : { label: `a person stops the label ${label}`, to: { ...state, stopped: [...stopped, label].toSorted() }, spends: 'stops' },
  );
}

function ofApprovals(state: State, scene: Scene): Deed[] {
  if (!hasApprovals(scene.policy)) return [];
  const late: Deed = { label: 'another host is built late', to: look({ ...state, builds: state.builds + 1 }, scene), spends: 'builds' };
  const [bob, eve] = [approve(state, 'bob'), approve(state, 'eve')];
  return [
    late,
    ...(bob === undefined ? [] : [{ label: 'bob approves', to: bob }]),
    ...(eve === undefined ? [] : [{ label: 'eve, who pushed it, approves', to: eve, spends: 'approvals' as const }]),
  ];
}

/** The ring that waits. Undefined: there is none, or that person has approved it. */
export function approve(state: State, by: string): State | undefined {
  const { course, approvals } = state;
  const binds = bindsOf(state);
  if (course?.state !== 'WAITING_APPROVAL' || approvals.some((each) => each.by === by && each.ring === course.ring && each.binds === binds))
    return undefined;
  return { ...state, approvals: [...approvals, { by, role: 'approver', reason: 'read it', at: NOW, ring: course.ring, binds }] };
}

/** Everybody takes back what they decided. */
export function takeBack(state: State): State {
  const hosts = state.hosts.map((host) => {
    const { row } = endTrial(host);
    return !isKeptByPerson(host.row) && row.ordered.length === 0
      ? host
      : { ...host, row: { ...row, held: undefined, pinned: undefined, ordered: [] } };
  });
  return { ...state, isFrozen: false, stopped: [], hosts };
}

/** Something that a person decided stands. */
export function isHeld(state: State, { policy }: Scene): boolean {
  const { freeze, stops = [] } = ordersOf(state);
  return (
    hasApprovals(policy) || freeze !== undefined || stops.length > 0 || state.hosts.some(({ row }) => isKeptByPerson(row) || row.ordered.length > 0)
  );
}
