import type { Collected, CacheFolder } from '@floe/nix';
import type { StorePart } from '@floe/store';
import { neededSystems } from './needed-systems.ts';

/** What leaves the cache, of what no host needs. */
export type CollectWhat = Omit<Parameters<CacheFolder['collect']>[0], 'needed'>;

export interface CollectDeps {
  readonly store: StorePart<{ hosts: 'fleet'; releases: 'systemsInUse' }>;
  readonly folder: Pick<CacheFolder, 'collect'>;
}

/** Removes closures that no host needs from the server's own cache; all that a host has, is told, is kept on or may be told next stays whole. */
export async function collectCache({ store, folder }: CollectDeps, repositoryId: string, what: CollectWhat): Promise<Collected> {
  return await folder.collect({
    ...what,
    needed: async () => {
      const { hosts } = await store.hosts.fleet(repositoryId);
      return [...(await store.releases.systemsInUse(repositoryId)), ...hosts.flatMap((host) => [...neededSystems(host)])];
    },
  });
}
