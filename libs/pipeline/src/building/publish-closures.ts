import type { StorePath } from '@floe/model';
import type { OnPublishing, PublishedPath } from '@floe/nix';
import { isFloeError } from '@floe/runtime';
import type { PipelineDeps } from '../deps.ts';

export interface PublishOptions {
  readonly signal: AbortSignal;
  /** They are only read back. */
  readonly isThere?: boolean;
  readonly onProgress?: OnPublishing | undefined;
}

/**
 * Brings closures to where hosts download from, and reads them back there: nothing of them leaves the cache's folder until it is known that they are
 * needed. What the cache had, and lost, is brought there again.
 */
export async function publishClosures(
  { nix, cache }: Pick<PipelineDeps, 'nix' | 'cache'>,
  paths: readonly StorePath[],
  { signal, isThere = false, onProgress }: PublishOptions,
): Promise<ReadonlyMap<StorePath, PublishedPath>> {
  const { publisher } = cache;
  const readBack = async (): Promise<ReadonlyMap<StorePath, PublishedPath>> => {
    onProgress?.(`reads ${paths.length} closures back`);
    return await nix.readBack(cache, paths, signal);
  };
  const work = async (): Promise<ReadonlyMap<StorePath, PublishedPath>> => {
    if (isThere) return await readBack();
    await publisher.publish(paths, { signal, onProgress });
    try {
      return await readBack();
    } catch (error) {
      if (!isFloeError(error, 'CACHE_PATH_MISSING')) throw error;
      publisher.forget();
      await publisher.publish(paths, { signal, onProgress });
      return await readBack();
    }
  };
  return cache.folder === undefined ? await work() : await cache.folder.publishing(paths, work);
}
