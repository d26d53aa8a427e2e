import type { StorePath } from '@floe/model';
import { CacheFolder, type Collected } from '@floe/nix';
import type { TrustedKey } from '@floe/protocol';
import type { Repository } from '@floe/store';
import { collectCache, type CollectWhat } from '../building/collect-cache.ts';
import { rebuildFromStatements } from '../statements/rebuild.ts';
import { releaserOf, type Releaser } from '../releaser.ts';
import type { BuilderDeps, Watching } from './builder-deps.ts';
import { loadBuilderKeys } from './builder-keys.ts';
import { servePipeline } from './serve-pipeline.ts';

/**
 * A builder: it holds the release key, the key of the cache and the repository's credentials, and turns commits into releases. Whoever has one
 * has what it does, and reaches none of these.
 */
export interface Builder {
  readonly releaser: Releaser;
  /** By which hosts verify what they download, in Nix's format. */
  readonly cachePublicKeys: readonly string[];
  /** Completes the database from the statement log. */
  rebuild(repository: Pick<Repository, 'id'>, serverKeys: readonly TrustedKey[]): ReturnType<typeof rebuildFromStatements>;
  /** False: the cache does not have the system. */
  keepInCache(toplevel: StorePath): Promise<boolean>;
  collectCache(repositoryId: string, what: CollectWhat): Promise<Collected>;
  /** Follows the repository until `signal` aborts. */
  run(watching: Watching, repositoryId: string, signal: AbortSignal): Promise<void>;
}

/** A builder in this process. Its keys are made at its first start. */
export async function openBuilder(deps: BuilderDeps): Promise<Builder> {
  const { config, store, statements, clock, logger } = deps;
  const { releaseSigner, cacheKey } = await loadBuilderKeys(config.dataDir, deps.apart?.keyFiles);
  const cacheFolder = new CacheFolder(config.cacheDir, () => clock.now());
  const releaser = releaserOf(releaseSigner);
  return {
    releaser,
    cachePublicKeys: [cacheKey.publicKey],
    rebuild: async (repository, serverKeys) =>
      await rebuildFromStatements(
        { store, clock, statements, releaseKeys: releaser.keys, serverKeys, logger, checkpointSigner: releaseSigner },
        repository,
      ),
    keepInCache: async (toplevel) => await cacheFolder.keep(toplevel),
    collectCache: async (repositoryId, what) => await collectCache({ store, folder: cacheFolder }, repositoryId, what),
    run: async (watching, repositoryId, signal) =>
      await servePipeline({ ...deps, ...watching, releaseSigner, cacheKey, cacheFolder }, repositoryId, signal),
  };
}
