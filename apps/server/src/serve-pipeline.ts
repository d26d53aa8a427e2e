import { mkdir } from 'node:fs/promises';
import { cpus, freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import { findDefaultBranch, openMirror } from '@floe/git';
import { createAskRemote, createNix, createRepositoryNix, estimateConcurrency, type CacheFolder, type CacheKey, type Sandbox } from '@floe/nix';
import { runPipeline, type PipelineDeps } from '@floe/pipeline';
import { exec } from '@floe/runtime';
import { dataPaths, type Config } from './config.ts';
import { branchOf, otherDefault } from './default-branch.ts';
import { openTesting } from './testing-mirror.ts';
import { loadOrCreateInstanceId } from './data-folder.ts';
import type { FetchWatch } from './fetch-watch.ts';

/** Approximate memory of a NixOS host's evaluation, in bytes. */
const MEMORY_PER_EVALUATION = 0.8 * 1024 ** 3;
/** A build's share of this machine's memory; the rest is for the server and its database. */
const BUILD_MEMORY_SHARE = 0.8;

type Deps = Pick<PipelineDeps, 'store' | 'statements' | 'releaseSigner' | 'clock' | 'logger' | 'random'> & {
  readonly config: Config;
  readonly cacheKey: CacheKey;
  readonly cacheFolder: CacheFolder;
  readonly env: NodeJS.ProcessEnv;
  readonly sandbox: Sandbox;
  readonly fetches: FetchWatch;
  /** The repository's default branch is another one than the one that is followed without a setting; undefined: it is not. */
  readonly onOtherDefault: (notice: string | undefined) => void;
};

/** Runs the pipeline of the server's repository, with the mirror, cache and roots of its data folder. */
export async function servePipeline(deps: Deps, repositoryId: string, signal: AbortSignal): Promise<void> {
  const { config, cacheKey, cacheFolder, logger, sandbox } = deps;
  const paths = dataPaths(config.dataDir);
  await mkdir(paths.home, { recursive: true });
  const opened = { ...config.repository, dir: paths.mirror, logger };
  const find = async (until: AbortSignal): Promise<string> => await findDefaultBranch(opened, until);
  const branch = await branchOf({ ...deps, ...config, find }, repositoryId, signal);
  await using mirror = await openMirror({
    ...opened,
    branch,
    onDefaultBranch: (named) => {
      const notice = config.repository.branch === undefined ? otherDefault(branch, named) : undefined;
      deps.onOtherDefault(notice === undefined ? undefined : config.nameSettings(notice));
    },
    onProgress: (progress) => deps.fetches.noteProgress(progress),
  });
  await using testing = await openTesting(deps, repositoryId, branch);
  const cores = cpus().length;
  // A home to which untrusted code never writes.
  const nix = createNix({ exec, logger, env: { ...deps.env, HOME: paths.home, XDG_CACHE_HOME: join(paths.home, 'cache') } });
  const pipeline: PipelineDeps = {
    ...deps,
    mirror: deps.fetches.watching(mirror),
    testing,
    nix,
    repositoryNix: createRepositoryNix({ exec, logger, sandbox, inputAccess: config.inputAccess, askRemote: createAskRemote(deps.env) }, nix),
    cache: { url: `file://${paths.cache}`, secretKeyFile: cacheKey.secretKeyFile, publicKey: cacheKey.publicKey, folder: cacheFolder },
    limits: {
      evaluations: estimateConcurrency(cores, freemem(), MEMORY_PER_EVALUATION),
      builds: cores,
      ...config.limits,
      buildMemoryBytes: config.buildMemoryBytes ?? Math.floor(BUILD_MEMORY_SHARE * totalmem()),
    },
    rootsDir: paths.roots,
    pollMs: config.pollMs,
    nameSettings: config.nameSettings,
    signers: config.signers,
    notifyTargets: config.notify.map(({ name }) => name),
    policyFloor: config.policyFloor,
    probes: config.probes.map(({ name }) => name),
    owner: await loadOrCreateInstanceId(paths.instanceId),
  };
  await runPipeline(pipeline, repositoryId, signal);
}
