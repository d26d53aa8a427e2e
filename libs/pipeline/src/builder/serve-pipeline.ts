import { mkdir } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { findDefaultBranch, openMirror } from '@floe/git';
import { createAskRemote, createNix, createRepositoryNix, EvaluationGate, openPublisher, type CacheFolder, type CacheKey } from '@floe/nix';
import type { PipelineDeps } from '../deps.ts';
import { believingNothing } from '../believing-nothing.ts';
import { openTraces } from './open-traces.ts';
import { Footprints } from '../evaluation/footprints.ts';
import { runPipeline } from '../pipeline.ts';
import type { BuilderDeps, Watching } from './builder-deps.ts';
import { dataPaths } from './data-paths.ts';
import { collectCache, type CollectWhat } from '../building/collect-cache.ts';
import { keepCache } from './cache-keeper.ts';
import { branchOf, otherDefault } from './default-branch.ts';
import { hasElsewhere, readableCache } from './readable-cache.ts';
import { ofSettings } from './of-settings.ts';
import { submodulesOf } from './submodules-of.ts';
import { openTesting } from './testing-mirror.ts';

/** A build's share of this machine's memory; the rest is for the server and its database. */
const BUILD_MEMORY_SHARE = 0.8;

type Deps = BuilderDeps &
  Watching &
  Pick<PipelineDeps, 'releaseSigner' | 'owner'> & {
    readonly cacheKey: CacheKey;
    readonly cacheFolder: CacheFolder;
  };

/** Runs the pipeline of the repository, with the mirror, cache and roots of its data folder. */
export async function servePipeline(deps: Deps, repositoryId: string, signal: AbortSignal): Promise<void> {
  const { config, cacheKey, cacheFolder, logger, sandbox, exec } = deps;
  const paths = dataPaths(config.dataDir);
  await mkdir(paths.home, { recursive: true });
  const opened = { ...config.repository, dir: paths.mirror, logger };
  const find = async (until: AbortSignal): Promise<string> => await findDefaultBranch(opened, until);
  const branch = await branchOf({ ...deps, ...config, find }, repositoryId, signal);
  const completing = submodulesOf(deps, signal);
  await using plain = await openMirror({
    ...opened,
    branch,
    onDefaultBranch: (named) => {
      const notice = config.repository.branch === undefined ? otherDefault(branch, named) : undefined;
      deps.onOtherDefault(notice === undefined ? undefined : config.nameSettings(notice));
    },
    onProgress: (progress) => deps.fetches.noteProgress(progress),
  });
  const mirror = completing(plain, paths.mirror);
  await using testing = await openTesting({ ...deps, completing }, repositoryId, branch);
  const cores = cpus().length;
  // A home to which untrusted code never writes.
  const env = { ...deps.env, HOME: paths.home, XDG_CACHE_HOME: join(paths.home, 'cache') };
  const nix = createNix({ exec, logger, env });
  const gate = new EvaluationGate({ most: cores, availableBytes: () => process.availableMemory() });
  const pipeline: PipelineDeps = {
    ...deps,
    store: ofSettings(deps.store, { url: config.repository.url, branch }),
    mirror: deps.fetches.watching(mirror),
    testing,
    nix,
    repositoryNix: createRepositoryNix(
      {
        exec,
        logger,
        sandbox,
        gate,
        hostsAttribute: config.repository.source.attribute,
        hostsFile: config.repository.source.hostsFile,
        inputAccess: config.inputAccess,
        askRemote: createAskRemote(deps.env),
      },
      nix,
    ),
    cache: {
      ...readableCache(config, cacheKey.publicKey),
      hasElsewhere: hasElsewhere(config, cacheKey.publicKey, deps.clock),
      publisher: openPublisher(config.publish.method, { exec, logger, clock: deps.clock, nix, env, folder: { dir: config.cacheDir, ...cacheKey } }),
      folder: config.publish.method?.kind === 'command' ? undefined : cacheFolder,
    },
    keepCache: async (confirm, until) => {
      const collect = async (what: CollectWhat) => await collectCache({ ...deps, folder: cacheFolder }, repositoryId, what);
      await keepCache({ ...deps, ...deps.cacheKeeping, collectCache: collect, confirm }, until);
    },
    limits: {
      evaluations: cores,
      builds: cores,
      ...config.limits,
      buildMemoryBytes: config.buildMemoryBytes ?? Math.floor(BUILD_MEMORY_SHARE * totalmem()),
    },
    ...(deps.apart === undefined ? {} : believingNothing(deps, deps.apart)),
    rootsDir: paths.roots,
    pollMs: config.pollMs,
    nameSettings: config.nameSettings,
    signers: config.signers === undefined ? undefined : { ...config.signers, exec },
    source: config.repository.source,
    looksForSelf: true,
    traces: await openTraces(config, logger),
    footprints: await Footprints.open(paths.footprints, logger),
    policyFloor: config.policyFloor,
  };
  await runPipeline(pipeline, repositoryId, signal);
}
