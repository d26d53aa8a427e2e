import { hostname } from 'node:os';
import type { StorePath } from '@floe/model';
import { CacheFolder, loadOrCreateCacheKey, type Collected, type Sandbox } from '@floe/nix';
import { collectCache, rebuildFromStatements, releaserOf, type CollectWhat, type Releaser, type StatementLog } from '@floe/pipeline';
import type { TrustedKey } from '@floe/protocol';
import { loadOrCreateSigner, type Clock, type Logger } from '@floe/runtime';
import type { Repository, Store } from '@floe/store';
import { dataPaths, type Config } from './config.ts';
import type { FetchWatch } from './fetch-watch.ts';
import { servePipeline } from './serve-pipeline.ts';

/**
 * What the server has of its builder. The release key, the key of the cache and the repository's credentials stay behind it: no other file of
 * the server reaches them (`scripts/testing/roles.test.ts`).
 */
export interface Builder {
  readonly releaser: Releaser;
  /** By which hosts verify what they download, in Nix's format. */
  readonly cachePublicKey: string;
  /** Completes the database from the statement log. */
  rebuild(repository: Repository, serverKeys: readonly TrustedKey[]): ReturnType<typeof rebuildFromStatements>;
  /** False: the cache does not have the system. */
  keepInCache(toplevel: StorePath): Promise<boolean>;
  collectCache(repositoryId: string, what: CollectWhat): Promise<Collected>;
  /** Follows the repository until `signal` aborts. */
  run(watching: Watching, repositoryId: string, signal: AbortSignal): Promise<void>;
}

/** What the server shows of a builder that runs in it. */
export interface Watching {
  readonly fetches: FetchWatch;
  readonly onOtherDefault: (notice: string | undefined) => void;
}

export interface EmbeddedBuilderDeps {
  readonly config: Config;
  readonly store: Store;
  readonly statements: StatementLog;
  readonly sandbox: Sandbox;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly env: NodeJS.ProcessEnv;
}

/** The builder inside the server. Its keys are made at its first start. */
export async function openEmbeddedBuilder(deps: EmbeddedBuilderDeps): Promise<Builder> {
  const { config, store, statements, clock, logger } = deps;
  const paths = dataPaths(config.dataDir);
  const releaseSigner = await loadOrCreateSigner(paths.releaseKey, 'release-1');
  const cacheKey = await loadOrCreateCacheKey(paths.cacheKey, `${hostname()}-floe-1`);
  const cacheFolder = new CacheFolder(paths.cache, () => clock.now());
  const releaser = releaserOf(releaseSigner);
  return {
    releaser,
    cachePublicKey: cacheKey.publicKey,
    rebuild: async (repository, serverKeys) =>
      await rebuildFromStatements({ store, statements, releaseKeys: releaser.keys, serverKeys, logger, checkpointSigner: releaseSigner }, repository),
    keepInCache: async (toplevel) => await cacheFolder.keep(toplevel),
    collectCache: async (repositoryId, what) => await collectCache({ store, folder: cacheFolder }, repositoryId, what),
    run: async (watching, repositoryId, signal) =>
      await servePipeline({ ...deps, ...watching, releaseSigner, cacheKey, cacheFolder }, repositoryId, signal),
  };
}
