import { ordersOf, retry } from './server-side.ts';
import type { Limits, Scene } from './scene.ts';
import { systemOf, withHost, type Host, type State } from './state.ts';

// What people decide about hosts, and take back.

/** Something that a person can do now; `spends`: of which there is only so much. */
export interface Deed {
  readonly label: string;
  readonly to: State;
  readonly spends?: keyof Limits;
}

export function deedsOf(state: State, scene: Scene): readonly Deed[] {
  return [...state.hosts.flatMap((host) => ofHost(state, host)), ...ofLabels(state, scene)];
}

function ofHost(state: State, host: Host): Deed[] {
  const { name, row } = host;
  const deeds: Deed[] = [];
  const add = (label: string, changed: Partial<Host['row']>, spends?: keyof Limits): void =>
    void deeds.push({ label: `${name}: ${label}`, to: withHost(state, { ...host, row: { ...row, ...changed } }), ...(spends && { spends }) });
  if (row.held !== undefined) add('the hold ends', { held: undefined });
  // A system that a person quarantined there is not held.
  else if (row.directed !== undefined && !row.ordered.includes(systemOf(name, row.directed)))
    add('a person holds it where it is', { held: row.directed }, 'holds');
  for (let revision = 1; revision <= state.newest; revision += 1) {
    const system = systemOf(name, revision);
    if (row.ordered.includes(system))
      add(`the quarantine of revision ${revision} is lifted`, { ordered: row.ordered.filter((each) => each !== system) });
    else add(`a person quarantines revision ${revision}`, { ordered: [...row.ordered, system].toSorted() }, 'bans');
    if (revision === state.newest && row.quarantined.includes(system) && !row.ordered.includes(system))
      deeds.push({ label: `${name}: a person has it try revision ${revision} again`, to: withHost(state, retry(host, system)), spends: 'retries' });
  }
  return deeds;
}

function ofLabels(state: State, { labels }: Scene): Deed[] {
  const { stopped } = state;
  return [...new Set(labels)].map((label): Deed =>
    stopped.includes(label)
      ? { label: `the stop of the label ${label} ends`, to: { ...state, stopped: stopped.filter((each) => each !== label) } }
      : { label: `a person stops the label ${label}`, to: { ...state, stopped: [...stopped, label].toSorted() }, spends: 'stops' },
  );
}

/** Everybody takes back what they decided. */
export function takeBack(state: State): State {
  const hosts = state.hosts.map((host) => {
    const { held, ordered } = host.row;
    return held === undefined && ordered.length === 0 ? host : { ...host, row: { ...host.row, held: undefined, ordered: [] } };
  });
  return { ...state, isFrozen: false, stopped: [], hosts };
}

/** Something that a person decided stands. */
export function isHeld(state: State): boolean {
  const { freeze, stops = [] } = ordersOf(state);
  return freeze !== undefined || stops.length > 0 || state.hosts.some(({ row }) => row.held !== undefined || row.ordered.length > 0);
}
