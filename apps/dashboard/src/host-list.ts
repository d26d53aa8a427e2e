import type { HostView } from '@floe/protocol';
import type { LiveFleet } from './live-fleet.ts';
import { needsAttention, presenceName, reasonOf, standingName, standingWords, stepWords, todoOf } from '@floe/views';
import { rankInList, rankOf } from './standing.ts';

export interface HostFilter {
  readonly text: string;
  readonly onlyAttention: boolean;
}

/** The hosts to show, those that need a person first, each group by name. One pass per rank instead of a sort. */
export function listHosts(fleet: LiveFleet, filter: HostFilter): readonly HostView[] {
  const terms = filter.text
    .toLowerCase()
    .split(/\s+/)
    .filter((term) => term !== '');
  const groups: HostView[][] = [];
  for (const name of fleet.names) {
    const host = fleet.hosts.get(name);
    if (host === undefined || (filter.onlyAttention && !needsAttention(host)) || !matches(host, terms)) continue;
    (groups[rankInList(host)] ??= []).push(host);
  }
  // A group that nobody is in leaves a hole, which flat() passes over.
  return groups.flat();
}

/** How many hosts need a person. */
export function countAttention(fleet: LiveFleet): number {
  let found = 0;
  for (const host of fleet.hosts.values()) if (needsAttention(host)) found += 1;
  return found;
}

/** How many hosts have each standing, the most pressing first. */
export function countStandings(fleet: LiveFleet): readonly { readonly text: string; readonly count: number }[] {
  const counts = new Map<HostView['standing'], { rank: number; count: number }>();
  for (const host of fleet.hosts.values()) {
    const entry = counts.get(host.standing) ?? { rank: rankOf(host), count: 0 };
    entry.count += 1;
    counts.set(host.standing, entry);
  }
  return [...counts]
    .toSorted(([, a], [, b]) => a.rank - b.rank || b.count - a.count)
    .map(([standing, { count }]) => ({ text: standingName(standing), count }));
}

function matches(host: HostView, terms: readonly string[]): boolean {
  if (terms.length === 0) return true;
  const { desired, observed } = host;
  const text = [
    host.host,
    standingWords(host),
    host.standing === 'under-way' ? stepWords(host) : '',
    host.isConnected ? presenceName('online') : `${presenceName('away')} ${presenceName(host.presence)}`,
    host.detail?.code,
    reasonOf(host),
    todoOf(host),
    desired?.toplevel,
    desired?.commit,
    observed.current,
  ]
    .join(' ')
    .toLowerCase();
  return terms.every((term) => text.includes(term));
}
