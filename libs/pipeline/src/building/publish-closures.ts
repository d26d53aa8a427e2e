import type { StorePath } from '@floe/model';
import type { PublishedPath } from '@floe/nix';
import type { PipelineDeps } from '../deps.ts';

/**
 * Copies closures to the cache, and reads them back: nothing of them leaves the cache until it is known that they are needed. `isThere`: they are
 * only read back.
 */
export async function publishClosures(
  { nix, cache }: Pick<PipelineDeps, 'nix' | 'cache'>,
  paths: readonly StorePath[],
  signal: AbortSignal,
  isThere = false,
): Promise<ReadonlyMap<StorePath, PublishedPath>> {
  const work = async (): Promise<ReadonlyMap<StorePath, PublishedPath>> => {
    if (!isThere) await nix.publish(paths, { cacheUrl: cache.url, secretKeyFile: cache.secretKeyFile, signal });
    return await nix.readBack(cache.url, paths, cache.publicKey);
  };
  return cache.folder === undefined ? await work() : await cache.folder.publishing(paths, work);
}
