import { retryDelayMs, type HostName } from '@floe/model';
import type { BuildProgress, BuildResult } from '@floe/nix';
import { FloeError } from '@floe/runtime';
import type { Evaluation, Revision } from '@floe/store';
import { BuildQueue, wantedOf, type Wanted } from './build-queue.ts';
import { buildRoot } from './build-roots.ts';
import { BuildsUnderWay } from './build-progress.ts';
import { BuildSlots } from './build-slots.ts';
import type { Clearance, ClearedRevision } from '../clearance.ts';
import type { PipelineDeps } from '../deps.ts';
import { evaluateHosts } from '../evaluation/evaluate-hosts.ts';
import { publishHosts, type PublishedHost } from './publish-hosts.ts';
import { ReadyHosts } from '../ready-hosts.ts';

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
 * build of another. A host whose build fails, or whose system cannot be published, gets a row with its error, and keeps its last release. Throws
 * retryable errors (cache full or unreachable): then the step is repeated for those that have no release yet.
 */
export async function buildQueued(
  deps: PipelineDeps,
  revision: Revision,
  queue: BuildQueue,
  signal: AbortSignal,
  { handOut, begin, done = 0 }: Building,
): Promise<BuildOutcome> {
  const { store, limits, clock, logger } = deps;
  await using underWay = new BuildsUnderWay(deps, revision);
  let cleared: ClearedRevision | undefined;
  const built = new Set<HostName>();
  let first: string | undefined;
  let refusal: string | undefined;
  async function noteFailure({ host, tries: before }: Wanted, error: string, isRetryable: boolean): Promise<void> {
    const tries = before + 1;
    const retryAt = isRetryable ? clock.now() + retryDelayMs(tries) : undefined;
    await store.revisions.saveBuilds(revision.id, [{ host, outcome: 'BUILD_ERROR', error, retryAt, tries }]);
    first ??= `${host}: ${error}`;
  }
  const ready = new ReadyHosts<Wanted>(async (hosts) => {
    const names = hosts.map(({ host }) => host);
    const { published, refused } = await underWay.publishing(
      names,
      async (onProgress) => await publishHosts(deps, revision, hosts, signal, onProgress),
    );
    for (const { wanted, error } of refused) {
      logger.warn('the system of a host cannot be published', { host: wanted.host, error });
      built.delete(wanted.host);
      await noteFailure(wanted, error, true);
    }
    if (cleared !== undefined && published.length > 0) await handOut(cleared, published);
  });
  async function note([target, result]: Built): Promise<void> {
    if (signal.aborted) return;
    const { host } = target;
    if (result.kind === 'built') {
      await store.revisions.saveBuilds(revision.id, [{ host, buildMs: Math.round(result.durationMs), builtAt: clock.now() }]);
      built.add(host);
      ready.add(target);
      return;
    }
    logger.info('the build of a host failed', { host, code: result.code });
    await noteFailure(target, result.error, result.isRetryable);
  }

  const slots = new BuildSlots(clock, limits.builds);
  const building: Promise<void>[] = [];
  let failures = 0;
  // What could not be noted down is thrown below, and the step is repeated: the database may not answer, so not much more is begun.
  const isOver = (): boolean => signal.aborted || failures >= limits.builds;
  function begun(host: Promise<Built>): void {
    const noted = host.then(note);
    noted.catch(() => (failures += 1));
    building.push(noted);
  }
  async function beginAll(): Promise<void> {
    /** By derivation and system: hosts that have both in common are built once. A repository may say of a derivation that it makes something else. */
    const builds = new Map<string, Shared>();
    for (let next = await queue.next(); next !== undefined && !isOver(); next = await queue.next()) {
      const wanted = next;
      const clearance = await begin();
      if (clearance.kind === 'refused') refusal = clearance.why;
      else cleared = clearance.revision;
      if (cleared === undefined || isOver()) return;
      const build = async (): Promise<Built> => await buildHost(deps, revision, wanted, signal, underWay);
      const key = `${wanted.drvPath} ${wanted.toplevel}`;
      const same = builds.get(key);
      if (same !== undefined) {
        begun(shareBuild(deps, wanted, same, async () => await (await slots.take())(build)));
        continue;
      }
      const inSlot = await slots.take();
      if (isOver()) return;
      const result = inSlot(build);
      builds.set(key, { by: wanted, result });
      begun(result);
    }
  }
  // What is being built or published is finished, also when a build could not be noted down: the step is repeated, and must not meet itself.
  const beginning = await Promise.allSettled([beginAll()]);
  const parts = [...beginning, ...(await Promise.allSettled(building)), ...(await Promise.allSettled([ready.end()]))];
  for (const part of parts) if (part.status === 'rejected') throw part.reason;
  if (signal.aborted) throw new FloeError('BUILD_STOPPED', 'the build was stopped', { retryable: true });
  if (refusal !== undefined) return { kind: 'failed', error: refusal };
  return done + built.size === 0 && first !== undefined ? { kind: 'failed', error: `nothing could be built; ${first}` } : { kind: 'built' };
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

/** What was built, and how it ended. */
type Built = readonly [Wanted, BuildResult];

/** The build of a host that others may have in common with it. */
interface Shared {
  readonly by: Wanted;
  readonly result: Promise<Built>;
}

/** The host gets what the build of the other one came to. Where that was evaluated again, nothing is known of this one: `build` asks. */
async function shareBuild({ nix, rootsDir }: PipelineDeps, wanted: Wanted, { by, result }: Shared, build: () => Promise<Built>): Promise<Built> {
  const [target, outcome] = await result;
  if (target !== by) return await build();
  if (outcome.kind === 'built') await nix.addRoot(buildRoot(rootsDir, wanted.host, wanted.toplevel), wanted.toplevel);
  return [wanted, outcome];
}

/** Builds one host. If the garbage collector removed its derivation, evaluates it again first. */
async function buildHost(deps: PipelineDeps, revision: Revision, wanted: Wanted, signal: AbortSignal, underWay: BuildsUnderWay): Promise<Built> {
  const build = async (target: Wanted, onProgress: (progress: BuildProgress) => void): Promise<BuildResult> =>
    await deps.repositoryNix.build(target, {
      onProgress,
      signal,
      timeoutMs: deps.limits.buildTimeoutMs,
      maxMemoryBytes: deps.limits.buildMemoryBytes,
      root: buildRoot(deps.rootsDir, target.host, target.toplevel),
    });
  return await underWay.during({ host: wanted.host }, async (onProgress) => {
    const result = await build(wanted, onProgress);
    if (result.kind === 'built' || result.code !== 'BUILD_DERIVATION_MISSING' || signal.aborted) return [wanted, result];
    deps.logger.info('the garbage collector removed a derivation; the host is evaluated again', { host: wanted.host });
    const [again] = (await evaluateHosts(deps, revision, [wanted.host], signal)).flatMap(wantedOf);
    return again === undefined ? [wanted, result] : [again, await build(again, onProgress)];
  });
}
