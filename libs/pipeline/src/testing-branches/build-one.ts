import type { GitMirror } from '@floe/git';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import type { HostEvaluation } from '@floe/nix';
import { FloeError } from '@floe/runtime';
import { buildRoot, tidyBuildRoots, trialRootsDir } from '../building/build-roots.ts';
import { bestEffort } from '../best-effort.ts';
import type { PublishedHost } from '../building/publish-hosts.ts';
import type { PipelineDeps } from '../deps.ts';
import { explainOpaque, usersOfOpaqueFiles } from '../evaluation/opaque-files.ts';
import { addressOf } from '../evaluation/source.ts';
import { publishClosures } from '../building/publish-closures.ts';
import { refusalOfSigners } from '../commit-signers/refusal.ts';
import { refusalOfCommit } from '../verify.ts';

export type OneEvaluated =
  | {
      readonly kind: 'evaluated';
      readonly drvPath: string;
      readonly toplevel: StorePath;
      readonly system: string;
      readonly formerHost: HostName | undefined;
    }
  | { readonly kind: 'refused'; readonly why: string };
export type OneBuilt = { readonly kind: 'built'; readonly published: PublishedHost } | { readonly kind: 'refused'; readonly why: string };

type OneDeps = Pick<
  PipelineDeps,
  'store' | 'nix' | 'repositoryNix' | 'limits' | 'cache' | 'rootsDir' | 'logger' | 'signers' | 'source' | 'nameSettings' | 'newestReleased'
> & {
  readonly mirror: GitMirror;
};

/** Evaluates one host of a commit, under the rules of the tracked branch. Throws when it is stopped, and what may succeed later. */
export async function evaluateOne(
  deps: OneDeps,
  { repositoryId, host }: { readonly repositoryId: string; readonly host: HostName },
  sha: CommitSha,
  signal: AbortSignal,
): Promise<OneEvaluated> {
  const { mirror, repositoryNix, limits } = deps;
  const refusal = (await refusalOfSigners(deps, repositoryId, sha)) ?? (await refusalOfCommit(mirror, sha));
  if (refusal !== undefined) return { kind: 'refused', why: refusal };
  let result: HostEvaluation | undefined;
  await repositoryNix.evaluateHosts(await addressOf(deps, sha), [host], {
    concurrency: 1,
    timeoutMs: limits.evaluationTimeoutMs,
    maxMemoryBytes: limits.evaluationMemoryBytes,
    signal,
    onResult: (each) => {
      result = each;
    },
  });
  if (signal.aborted || result === undefined) throw new FloeError('EVALUATION_STOPPED', 'the evaluation was stopped', { retryable: true });
  if (result.kind === 'not-ours') return { kind: 'refused', why: `${host} does not enable services.floe.agent` };
  if (result.kind === 'failed') {
    if (result.isRetryable) throw new FloeError(result.code, result.error, { retryable: true });
    return { kind: 'refused', why: await explainOpaque(deps, { sha }, result.error) };
  }
  const { drvPath, toplevel, system, formerHost } = result;
  const opaque = (await usersOfOpaqueFiles(deps, { sha }, [{ host, drvPath }], signal)).get(host);
  if (signal.aborted) throw new FloeError('EVALUATION_STOPPED', 'the evaluation was stopped', { retryable: true });
  return opaque === undefined ? { kind: 'evaluated', drvPath, toplevel, system, formerHost } : { kind: 'refused', why: opaque };
}

/** Builds what was evaluated, publishes it to the cache and reads it back. */
export async function buildOne(
  deps: OneDeps,
  { repositoryId, host }: { readonly repositoryId: string; readonly host: HostName },
  { drvPath, toplevel, system, formerHost }: Extract<OneEvaluated, { kind: 'evaluated' }>,
  signal: AbortSignal,
): Promise<OneBuilt> {
  const { store, repositoryNix, limits, logger } = deps;
  const rootsDir = trialRootsDir(deps.rootsDir);
  const result = await repositoryNix.build(
    { drvPath, toplevel },
    {
      signal,
      timeoutMs: limits.buildTimeoutMs,
      maxMemoryBytes: limits.buildMemoryBytes,
      root: buildRoot(rootsDir, host, toplevel),
    },
  );
  if (signal.aborted) throw new FloeError('BUILD_STOPPED', 'the build was stopped', { retryable: true });
  if (result.kind !== 'built') {
    if (result.isRetryable) throw new FloeError(result.code, result.error, { retryable: true });
    return { kind: 'refused', why: result.error };
  }
  const published = (await publishClosures(deps, [toplevel], { signal })).get(toplevel);
  if (published === undefined)
    throw new FloeError('CACHE_PATH_MISSING', `${toplevel} was published, but the cache does not have it`, { retryable: true });
  await bestEffort(
    logger,
    'removing the GC roots of older systems',
    undefined,
    async () => await tidyBuildRoots(store, rootsDir, repositoryId, [host]),
  );
  const { narHash, closureSizeBytes } = published;
  return { kind: 'built', published: { host, toplevel, system, formerHost, narHash, closureSizeBytes } };
}
