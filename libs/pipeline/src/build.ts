import { retryDelayMs, type HostName, type StorePath } from '@floe/model';
import type { BuildResult } from '@floe/nix';
import { FloeError } from '@floe/runtime';
import type { Evaluation, EvaluationRow, Revision } from '@floe/store';
import { bestEffort } from './best-effort.ts';
import { buildRoot, tidyBuildRoots, tidyFormerRoots } from './build-roots.ts';
import { failedCheck } from './checks.ts';
import type { PipelineDeps } from './deps.ts';
import { evaluateHosts } from './evaluate.ts';
import { publishClosures } from './publish-closures.ts';
import { ReadyHosts } from './ready-hosts.ts';

/** Safely below the kernel's limit for one command line, 2 MiB. */
export const PATHS_PER_COMMAND = 1_000;

/** A host's toplevel, as read back from the cache. */
export interface PublishedHost {
  readonly host: HostName;
  readonly toplevel: StorePath;
  readonly system: string;
  /** The name that its machine had before. */
  readonly formerHost?: HostName | undefined;
  readonly narHash: string;
  readonly closureSizeBytes: number;
}

/** What became of a revision's hosts: they are released, as far as they build; or none of them is. */
export type BuildOutcome = { readonly kind: 'built' } | { readonly kind: 'failed'; readonly error: string };

/** Signs and hands out the releases of these hosts. */
export type HandOut = (hosts: readonly PublishedHost[]) => Promise<void>;

interface Wanted {
  readonly host: HostName;
  readonly drvPath: string;
  readonly toplevel: StorePath;
  readonly system: string;
  readonly formerHost: HostName | undefined;
}

/**
 * Builds the changed hosts, publishes them to the cache, reads them back and has them released, each as soon as it is ready: none waits for the
 * build of another. A host whose build fails gets a row with its error
 * and keeps its last release. A check of the policy that does not build fails the revision before. Throws retryable errors (cache full
 * or unreachable): then the step is repeated for those that have no release yet.
 */
export async function buildRevision(deps: PipelineDeps, revision: Revision, signal: AbortSignal, handOut: HandOut): Promise<BuildOutcome> {
  const evaluations = await deps.store.revisions.evaluations(revision.id);
  const error = await failedCheck(deps, revision, signal);
  if (error !== undefined) {
    // Else a host that is tried again would be released, without the check.
    const late = evaluations.filter(({ retryAt }) => retryAt !== undefined);
    await deps.store.revisions.saveEvaluations(
      revision.id,
      late.map((row) => ({ ...row, retryAt: undefined })),
    );
    return { kind: 'failed', error };
  }
  const changed = evaluations.filter(({ outcome }) => outcome === 'CHANGED' || outcome === 'NEW');
  const done = await deps.store.releases.hostsOf(revision.id);
  return await buildHosts(
    deps,
    revision,
    changed.filter(({ host }) => !done.has(host)),
    signal,
    handOut,
    done.size,
  );
}

/** {@link buildRevision} for these hosts of the revision. `done`: so many others have their release. */
export async function buildHosts(
  deps: PipelineDeps,
  revision: Revision,
  evaluations: readonly Evaluation[],
  signal: AbortSignal,
  handOut: HandOut,
  done = 0,
): Promise<BuildOutcome> {
  const { store, limits, clock, logger } = deps;
  const queue = await builtHere(deps, revision, evaluations.flatMap(wantedOf), signal);
  const triesBefore = new Map(evaluations.map(({ host, tries }) => [host, tries ?? 0]));
  const ready = new ReadyHosts<Wanted>(async (hosts) => await handOut(await publishHosts(deps, revision, hosts, signal)));
  let built = done;
  let first: string | undefined;
  async function worker(): Promise<void> {
    for (let next = queue.shift(); next !== undefined && !signal.aborted; next = queue.shift()) {
      const [target, result] = await buildHost(deps, revision, next, signal);
      if (signal.aborted) return;
      const { host } = next;
      if (result.kind === 'built') {
        await store.revisions.saveBuilds(revision.id, [{ host, buildMs: Math.round(result.durationMs), builtAt: clock.now() }]);
        built += 1;
        ready.add(target);
        continue;
      }
      logger.info('the build of a host failed', { host, code: result.code });
      const tries = (triesBefore.get(host) ?? 0) + 1;
      const retryAt = result.isRetryable ? clock.now() + retryDelayMs(tries) : undefined;
      await store.revisions.saveBuilds(revision.id, [{ host, outcome: 'BUILD_ERROR', error: result.error, retryAt, tries }]);
      first ??= `${host}: ${result.error}`;
    }
  }
  // What is being published is finished, also when a build could not be noted down: the step is repeated, and must not meet itself.
  const [building] = await Promise.allSettled([Promise.all(Array.from({ length: Math.max(1, Math.min(limits.builds, queue.length)) }, worker))]);
  const [publishing] = await Promise.allSettled([ready.end()]);
  for (const part of [building, publishing]) if (part.status === 'rejected') throw part.reason;
  if (signal.aborted) throw new FloeError('BUILD_STOPPED', 'the build was stopped', { retryable: true });
  return built === 0 && first !== undefined ? { kind: 'failed', error: `nothing could be built; ${first}` } : { kind: 'built' };
}

/** Those that can be built. A host of an architecture that nobody builds here says so, and is no failure of the commit. */
async function builtHere(
  { store, repositoryNix, logger }: PipelineDeps,
  revision: Revision,
  wanted: Wanted[],
  signal: AbortSignal,
): Promise<Wanted[]> {
  const why = await repositoryNix.notBuiltHere(wanted, signal);
  if (why.size === 0) return wanted;
  const rows = wanted.flatMap(({ host, drvPath }) => {
    const error = why.get(drvPath);
    return error === undefined ? [] : [{ host, outcome: 'NOT_BUILT_HERE' as const, error }];
  });
  logger.info('hosts of other architectures are not built here', { commit: revision.sha, count: rows.length });
  await store.revisions.saveBuilds(revision.id, rows);
  return wanted.filter(({ drvPath }) => !why.has(drvPath));
}

/** Builds one host. If the garbage collector removed its derivation, evaluates it again first. */
async function buildHost(deps: PipelineDeps, revision: Revision, wanted: Wanted, signal: AbortSignal): Promise<readonly [Wanted, BuildResult]> {
  const build = async (target: Wanted): Promise<BuildResult> =>
    await deps.repositoryNix.build(target, {
      signal,
      timeoutMs: deps.limits.buildTimeoutMs,
      maxMemoryBytes: deps.limits.buildMemoryBytes,
      root: buildRoot(deps.rootsDir, target.host, target.toplevel),
    });
  const result = await build(wanted);
  if (result.kind === 'built' || result.code !== 'BUILD_DERIVATION_MISSING' || signal.aborted) return [wanted, result];
  deps.logger.info('the garbage collector removed a derivation; the host is evaluated again', { host: wanted.host });
  const [again] = (await evaluateHosts(deps, revision, [wanted.host], signal)).flatMap(wantedOf);
  return again === undefined ? [wanted, result] : [again, await build(again)];
}

function wantedOf({ host, drvPath, toplevel, system, formerHost }: EvaluationRow): Wanted[] {
  return drvPath === undefined || toplevel === undefined || system === undefined ? [] : [{ host, drvPath, toplevel, system, formerHost }];
}

async function publishHosts(deps: PipelineDeps, revision: Revision, built: readonly Wanted[], signal: AbortSignal): Promise<PublishedHost[]> {
  const { store, logger } = deps;
  const hosts: PublishedHost[] = [];
  for (let start = 0; start < built.length; start += PATHS_PER_COMMAND) {
    const part = built.slice(start, start + PATHS_PER_COMMAND);
    const paths = part.map(({ toplevel }) => toplevel);
    const published = await publishClosures(deps, paths, signal);
    for (const { host, toplevel, system, formerHost } of part) {
      const { narHash, closureSizeBytes } = published.get(toplevel) ?? missing(toplevel);
      await store.revisions.savePublished(revision.id, host, narHash, closureSizeBytes);
      hosts.push({ host, toplevel, system, formerHost, narHash, closureSizeBytes });
    }
    const names = part.map(({ host }) => host);
    await bestEffort(logger, 'removing the GC roots of older systems', undefined, async () => {
      await tidyBuildRoots(store, deps.rootsDir, revision.repositoryId, names);
      await tidyFormerRoots(store, deps.rootsDir, revision.repositoryId, part);
    });
  }
  return hosts;
}

function missing(toplevel: StorePath): never {
  throw new FloeError('CACHE_PATH_MISSING', `${toplevel} was published, but the cache does not have it`, { retryable: true });
}
