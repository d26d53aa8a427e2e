import type { HostName, StorePath } from '@floe/model';
import { Gate } from '@floe/runtime';
import { sequenceFloor, type Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';

export interface Released {
  readonly released: ReadonlyMap<HostName, StorePath>;
  /** The hosts whose last release is not in the cache any more: it is published again, and released, though nothing changed. */
  readonly gone: ReadonlySet<HostName>;
}

/** Of a cache elsewhere. */
const ASKED_AT_ONCE = 16;

/** What these hosts have stays in the cache from now on, until it is written down. */
export async function leftCache(
  { cache, logger }: Pick<PipelineDeps, 'cache' | 'logger'>,
  hosts: readonly HostName[],
  released: ReadonlyMap<HostName, StorePath>,
): Promise<Released> {
  const gone = new Set<HostName>();
  const gate = new Gate(ASKED_AT_ONCE);
  async function look(host: HostName): Promise<void> {
    const toplevel = released.get(host);
    if (toplevel === undefined) return;
    const hasLeft = (await cache.folder?.keep(toplevel)) === false || (await cache.hasElsewhere?.(toplevel)) === false;
    if (hasLeft) gone.add(host);
  }
  await Promise.all(hosts.map(async (host) => await gate.pass(async () => await look(host))));
  if (gone.size > 0) logger.warn('the last releases of hosts are not in the cache any more; they are published again', { hosts: gone.size });
  return { released, gone };
}

/**
 * The toplevel of each host's last release of the fleet. Without hosts that accepted, or were told, a later one (of a database that was lost, or a store
 * path that was submitted): they refuse this one, and need a new release even when nothing changed.
 */
export async function releasedToplevels(
  { store }: Pick<PipelineDeps, 'store'>,
  { repositoryId }: Pick<Revision, 'repositoryId'>,
): Promise<ReadonlyMap<HostName, StorePath>> {
  const floors = new Map((await store.hosts.list(repositoryId)).map((row) => [row.host, sequenceFloor(row)]));
  const releases = await store.releases.latest(repositoryId);
  return new Map(releases.flatMap(({ host, sequence, toplevel }) => (sequence < (floors.get(host) ?? 0) ? [] : [[host, toplevel]])));
}
