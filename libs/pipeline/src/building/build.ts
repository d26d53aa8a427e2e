import { retryDelayMs, type HostName, type StorePath } from '@floe/model';
import type { BuildResult } from '@floe/nix';
import { FloeError } from '@floe/runtime';
import type { Evaluation, Revision } from '@floe/store';
import { bestEffort } from '../best-effort.ts';
import { BuildQueue, wantedOf, type Wanted } from './build-queue.ts';
import { buildRoot, tidyBuildRoots, tidyFormerRoots } from './build-roots.ts';
import type { Clearance, ClearedRevision } from '../clearance.ts';
import type { PipelineDeps } from '../deps.ts';
import { evaluateHosts } from '../evaluation/evaluate-hosts.ts';
import { publishClosures } from './publish-closures.ts';
import { ReadyHosts } from '../ready-hosts.ts';

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
export type HandOut = (revision: ClearedRevision, hosts: readonly PublishedHost[]) => Promise<void>;

/** What the builds of a queue need besides the hosts. */
export interface Building {
  readonly handOut: HandOut;
  /** Asked before the first build: whether anything of the revision may be built. Asked again it gives the same answer. */
  readonly begin: () => Promise<Clearance>;
  /** So many other hosts have their release. */
  readonly done?: number;
}

/**
 * Builds the hosts of the queue, publishes them to the cache, reads them back and has them released, each as soon as it is ready: none waits for the
 * build of another. A host whose build fails gets a row with its error, and keeps its last release. Throws retryable errors (cache full
 * or unreachable): then the step is repeated for those that have no release yet.
 */
export async function buildQueued(
  deps: PipelineDeps,
  revision: Revision,
  queue: BuildQueue,
  signal: AbortSignal,
  { handOut, begin, done = 0 }: Building,
): Promise<BuildOutcome> {
  const { store, limits, clock, logger } = deps;
  let cleared: ClearedRevision | undefined;
  const ready = new ReadyHosts<Wanted>(async (hosts) => {
    const published = await publishHosts(deps, revision, hosts, signal);
    if (cleared !== undefined) await handOut(cleared, published);
  });
  let built = done;
  let first: string | undefined;
  let refusal: string | undefined;
  async function worker(): Promise<void> {
    for (let next = await queue.next(); next !== undefined && !signal.aborted; next = await queue.next()) {
      const clearance = await begin();
      if (clearance.kind === 'refused') refusal = clearance.why;
      else cleared = clearance.revision;
      if (cleared === undefined || signal.aborted) return;
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
      const tries = next.tries + 1;
      const retryAt = result.isRetryable ? clock.now() + retryDelayMs(tries) : undefined;
      await store.revisions.saveBuilds(revision.id, [{ host, outcome: 'BUILD_ERROR', error: result.error, retryAt, tries }]);
      first ??= `${host}: ${result.error}`;
    }
  }
  // What is being built or published is finished, also when a build could not be noted down: the step is repeated, and must not meet itself.
  const building = await Promise.allSettled(Array.from({ length: Math.max(1, limits.builds) }, worker));
  const publishing = await Promise.allSettled([ready.end()]);
  for (const part of [...building, ...publishing]) if (part.status === 'rejected') throw part.reason;
  if (signal.aborted) throw new FloeError('BUILD_STOPPED', 'the build was stopped', { retryable: true });
  if (refusal !== undefined) return { kind: 'failed', error: refusal };
  return built === 0 && first !== undefined ? { kind: 'failed', error: `nothing could be built; ${first}` } : { kind: 'built' };
}

/** {@link buildQueued} for these hosts. */
export async function buildHosts(
  deps: PipelineDeps,
  revision: Revision,
  evaluations: readonly Evaluation[],
  signal: AbortSignal,
  building: Building,
): Promise<BuildOutcome> {
  const queue = new BuildQueue(deps, revision, signal);
  await queue.add(evaluations);
  queue.close();
  return await buildQueued(deps, revision, queue, signal, building);
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
