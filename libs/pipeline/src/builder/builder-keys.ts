import { hostname } from 'node:os';
import { loadCacheKey, loadOrCreateCacheKey } from '@floe/nix';
import { loadOrCreateSigner, loadSigner } from '@floe/runtime';
import { dataPaths } from './data-paths.ts';

/** Files of keys that somebody made. Undefined: the key is in the data folder, and is made at the first start. */
export interface KeyFiles {
  readonly release?: string | undefined;
  readonly cache?: string | undefined;
}

/** The keys of a builder. */
export async function loadBuilderKeys(dataDir: string, { release, cache }: KeyFiles = {}) {
  const paths = dataPaths(dataDir);
  const keyId = 'release-1';
  return {
    releaseSigner: release === undefined ? await loadOrCreateSigner(paths.releaseKey, keyId) : await loadSigner(release, keyId),
    cacheKey: cache === undefined ? await loadOrCreateCacheKey(paths.cacheKey, `${hostname()}-floe-1`) : await loadCacheKey(cache),
  };
}
