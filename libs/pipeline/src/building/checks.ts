import type { BuildProgress, BuildResult } from '@floe/nix';
import { describeError, FloeError, isFloeError } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { BuildsUnderWay } from './build-progress.ts';
import { checkRoot, tidyCheckRoots } from './build-roots.ts';
import { bestEffort } from '../best-effort.ts';
import type { PipelineDeps } from '../deps.ts';
import { explainOpaque } from '../evaluation/opaque-files.ts';
import { addressOf, isSameSource } from '../evaluation/source.ts';

/**
 * Builds the checks that the policy names, before anything of the revision is released. Resolves to why it may not be: the first one
 * that does not build, with the end of its log. Throws retryable errors, after which the step is repeated; what was built is not built
 * again.
 */
export async function failedCheck(deps: PipelineDeps, revision: Revision, signal: AbortSignal): Promise<string | undefined> {
  const { checks } = revision.policy;
  const queue = (await havePassed(deps, revision)) ? [] : [...checks];
  const decided = new AbortController();
  const step = AbortSignal.any([signal, decided.signal]);
  let failure: string | undefined;
  await using underWay = new BuildsUnderWay(deps, revision);
  async function worker(): Promise<void> {
    for (let name = queue.shift(); name !== undefined && !step.aborted; name = queue.shift()) {
      const error = await buildCheck(deps, revision, { name, underWay }, step);
      if (error === undefined || step.aborted) continue;
      deps.logger.info('a check of the policy failed', { commit: revision.sha, check: name });
      failure = `the check "${name}" does not build: ${error}`;
      decided.abort();
    }
  }
  const workers = Array.from({ length: Math.max(1, Math.min(deps.limits.builds, queue.length)) }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    // Those that the first failure stopped say that they were stopped.
    decided.abort();
    await Promise.allSettled(workers);
    if (failure === undefined) throw error;
  }
  if (signal.aborted) throw new FloeError('BUILD_STOPPED', 'the build was stopped', { retryable: true });
  if (failure === undefined && checks.length > 0) {
    await bestEffort(deps.logger, 'removing the GC roots of older checks', undefined, async () => await tidyCheckRoots(deps.rootsDir, checks.length));
  }
  return failure;
}

/**
 * All was carried over from the newest published revision, which differs in no file that counts: its checks are these, and they passed. Not so of one that
 * somebody had evaluated again, or where the database is not believed.
 */
async function havePassed(deps: PipelineDeps, { id, repositoryId, sha, sourceKey }: Revision): Promise<boolean> {
  const { store, ownEvaluations } = deps;
  if (sourceKey === undefined || ownEvaluations !== undefined) return false;
  const previous = await store.revisions.newestPublished(repositoryId);
  if (previous === undefined || previous.handoverId !== undefined || !(await isSameSource(deps, previous, { sha, key: sourceKey }))) return false;
  return (await store.revisions.evaluations(id)).every(({ evaluateMs }) => evaluateMs === undefined);
}

/** Why it does not build; undefined: it does. */
async function buildCheck(
  deps: PipelineDeps,
  revision: Revision,
  { name, underWay }: { readonly name: string; readonly underWay: BuildsUnderWay },
  signal: AbortSignal,
): Promise<string | undefined> {
  const { repositoryNix, limits, rootsDir } = deps;
  const evaluationLimits = { timeoutMs: limits.evaluationTimeoutMs, maxMemoryBytes: limits.evaluationMemoryBytes, signal };
  const evaluated = await repositoryNix.evaluateCheck(await addressOf(deps, revision.sha), name, evaluationLimits).catch((error: unknown) => {
    if (!isFloeError(error) || error.retryable || signal.aborted) throw error;
    // For example a flake.lock that misses only what the check needs.
    return { kind: 'failed', error: describeError(error) } as const;
  });
  if (evaluated.kind === 'failed') return await explainOpaque(deps, revision, evaluated.error);
  const options = { signal, timeoutMs: limits.buildTimeoutMs, maxMemoryBytes: limits.buildMemoryBytes };
  const root = checkRoot(rootsDir, evaluated.target.toplevel);
  const build = async (onProgress: (progress: BuildProgress) => void): Promise<BuildResult> =>
    await repositoryNix.build(evaluated.target, { ...options, root, onProgress });
  const built = await underWay.during({ check: name }, build);
  if (built.kind === 'built') return undefined;
  if (built.isRetryable) throw new FloeError('CHECK_WAITS', `the check "${name}": ${built.error}`, { retryable: true });
  return built.error;
}
