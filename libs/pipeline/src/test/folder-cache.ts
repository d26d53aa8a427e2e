import type { StorePath } from '@floe/model';
import { openPublisher, type CacheKey, type Nix } from '@floe/nix';
import { exec, silentLogger } from '@floe/runtime';
import type { CacheTarget } from '../deps.ts';

/** A cache in a folder, to which this Nix publishes. */
export function folderCache(nix: Pick<Nix, 'publish'>, dir: string, key: CacheKey, folder?: CacheTarget['folder']): CacheTarget {
  const publisher = openPublisher(undefined, { nix, exec, logger: silentLogger, env: {}, folder: { dir, ...key } });
  return { urls: [`file://${dir}`], publicKeys: [key.publicKey], publisher, folder };
}

/** A cache that takes everything. */
export function anyCache(
  onPublish: (paths: readonly StorePath[]) => void | Promise<void> = () => undefined,
  folder?: CacheTarget['folder'],
): CacheTarget {
  const publisher = { publish: async (paths: readonly StorePath[]) => await onPublish(paths), forget: () => undefined };
  return { urls: ['file:///cache'], publicKeys: ['cache-1:key'], publisher, folder };
}
