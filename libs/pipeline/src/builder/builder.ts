import type { StorePath } from '@floe/model';
import { CacheFolder, type Collected } from '@floe/nix';
import type { TrustedKey } from '@floe/protocol';
import { runLoops } from '@floe/runtime';
import type { Repository } from '@floe/store';
import { collectCache, type CollectWhat } from '../building/collect-cache.ts';
import { rebuildFromStatements } from '../statements/rebuild.ts';
import { newestLogged } from '../statements/newest-releases.ts';
import { releaserOf, type Releaser } from '../releaser.ts';
import { answerQuestions } from '../signing-requests/answer-questions.ts';
import { askingReleaser } from '../signing-requests/asking-releaser.ts';
import type { BuilderDeps, Watching } from './builder-deps.ts';
import { loadBuilderKeys } from './builder-keys.ts';
import { loadOrCreateInstanceId } from './data-folder.ts';
import { dataPaths } from './data-paths.ts';
import { permitting } from './permitting.ts';
import { hasWholeClosure } from './readable-cache.ts';
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

/** A builder of this process. */
export interface BuilderHere extends Builder {
  /** Of this data folder, as leases have it. */
  readonly owner: string;
  /** Signs what servers ask for, until `signal` aborts. */
  answerQuestions(repositoryId: string, signal: AbortSignal): Promise<void>;
}

/** Opens the builder of this process. Its keys are made at its first start. */
export async function openBuilder(deps: BuilderDeps): Promise<BuilderHere> {
  const { config, store, statements, clock, logger } = deps;
  const { releaseSigner, cacheKey } = await loadBuilderKeys(config.dataDir, deps.apart?.keyFiles ?? {}, {
    command: config.signCommand,
    exec: deps.exec,
    env: deps.env,
  });
  const cacheFolder = new CacheFolder(config.cacheDir, () => clock.now());
  const owner = await loadOrCreateInstanceId(dataPaths(config.dataDir).instanceId);
  let repositoryId = '';
  const { releaser: own, learnHosts } = permitting(deps, releaserOf(releaseSigner), () => repositoryId);
  // Nobody in the server waits for a command that signs: it is asked as a builder of another process is.
  const isAsked = config.signCommand !== undefined && deps.apart === undefined;
  const releaser = isAsked ? askingReleaser({ store, keys: own.keys, repositoryId: () => repositoryId, clock, logger }) : own;
  const newestReleased = async () => await newestLogged({ statements, releaseKeys: own.keys, logger });
  const answer = async (id: string, signal: AbortSignal): Promise<void> =>
    await answerQuestions({ store, owner, releaser: own, clock, logger, newestReleased }, id, signal);
  return {
    owner,
    answerQuestions: answer,
    releaser,
    cachePublicKeys: [cacheKey.publicKey, ...config.publish.publicKeys],
    async rebuild(repository, serverKeys) {
      repositoryId = repository.id;
      const keys = { releaseKeys: own.keys, serverKeys, checkpointSigner: releaseSigner };
      return await rebuildFromStatements({ store, clock, statements, ...keys, logger }, repository);
    },
    keepInCache: async (toplevel) => (await cacheFolder.keep(toplevel)) || (await hasWholeClosure(config, cacheKey.publicKey, toplevel)),
    collectCache: async (id, what) => await collectCache({ store, folder: cacheFolder }, id, what),
    async run(watching, id, signal) {
      const serve = async (until: AbortSignal): Promise<void> =>
        await servePipeline({ ...deps, ...watching, owner, releaseSigner, cacheKey, cacheFolder }, id, until);
      if (!isAsked) return await runLoops((running) => [serve(running), learnHosts(running)], signal);
      await runLoops((running) => [serve(running), learnHosts(running), answer(id, running)], signal);
    },
  };
}
