import type { HostName, StorePath } from '../brands.ts';
import type { ReleaseRef } from '../resolve.ts';
import { pathOf } from './rollout-facts.ts';
import type { WorldHost } from './world-host.ts';

type OfHosts = (host: WorldHost) => boolean;
const ALL: OfHosts = () => true;
const NONE: OfHosts = () => false;

/** What somebody pushes: by default a commit that changes every host, works everywhere, and is evaluated and built at once. */
export interface WorldCommit {
  readonly changes?: OfHosts;
  /** It does not work on these. */
  readonly isBad?: OfHosts;
  /** These are built later, and those evaluated later. */
  readonly isSlow?: OfHosts;
  readonly isUnknown?: OfHosts;
  readonly isStone?: boolean;
}

export interface WorldRevision {
  readonly sequence: number;
  readonly toplevels: Map<HostName, StorePath>;
  /** Hosts that are still built: they have no release yet. */
  readonly coming: Set<HostName>;
  /** Hosts that are still evaluated: nobody knows what it has for them, nor their ring. */
  readonly unknown: Set<HostName>;
  /** Hosts have to run it before anything newer, once it was complete. */
  readonly isStone: boolean;
  /** Hosts on which it does not work. */
  readonly bad: Set<HostName>;
}

/** What a commit is for these hosts, on top of the one before. */
export function worldRevision(
  { changes = ALL, isBad = NONE, isSlow = NONE, isUnknown = NONE, isStone = false }: WorldCommit,
  hosts: readonly WorldHost[],
  last: WorldRevision | undefined,
): WorldRevision {
  const sequence = (last?.sequence ?? 0) + 1;
  const coming = new Set<HostName>();
  const unknown = new Set<HostName>();
  const toplevels = new Map<HostName, StorePath>();
  const bad = new Set<HostName>();
  for (const host of hosts) {
    const { called: name } = host;
    if (name === undefined) continue;
    const before = last?.toplevels.get(name);
    const isNew = before === undefined || changes(host);
    toplevels.set(name, isNew ? pathOf(`${host.image ?? name}-${sequence}`) : before);
    if (isUnknown(host)) unknown.add(name);
    const neverBuilt = last?.coming.has(name) === true || last?.unknown.has(name) === true;
    if ((isNew || neverBuilt) && isSlow(host)) coming.add(name);
    if (isNew ? isBad(host) : last?.bad.has(name) === true) bad.add(name);
  }
  return { sequence, toplevels, coming, unknown, bad, isStone };
}

/** The release that the host has of it; undefined: it has none yet. */
export function releaseIn({ sequence, toplevels, coming, unknown }: WorldRevision, { name }: Pick<WorldHost, 'name'>): ReleaseRef | undefined {
  const toplevel = toplevels.get(name);
  if (toplevel === undefined || coming.has(name) || unknown.has(name)) return undefined;
  return { id: `${name}@${sequence}`, host: name, sequence, toplevel };
}

/** The first of them, or all. */
export function dropFirst(names: Set<HostName> | undefined, isAll: boolean): void {
  for (const name of [...(names ?? [])].slice(0, isAll ? undefined : 1)) names?.delete(name);
}
