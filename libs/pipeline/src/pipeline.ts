import { isEndedRevision } from '@floe/model';
import { createWake, fullJitter, isAbort, isFloeError } from '@floe/runtime';
import type { Lease, Repository, Revision } from '@floe/store';
import { advance, giveWay, isHeld, recordFailure } from './advance.ts';
import type { PipelineDeps } from './deps.ts';
import { publishHandovers } from './handovers/publish.ts';
import { tryLateHosts } from './late-hosts.ts';
import { FreshnessKeeper } from './release.ts';
import { SelfWatch } from './evaluation/self-use.ts';
import { TraceWatch } from './evaluation/trace-watch.ts';
import { logStable } from './statements/stable-statements.ts';
import { publishSubmissions } from './submissions.ts';
import { takeIn } from './take-in.ts';
import { takeUpReplaced } from './take-up.ts';
import { TestingBranches } from './testing-branches/testing-branches.ts';

const LEASE_MS = 30_000;
/** Hints may be lost, so the counter behind them is also read at this interval. */
const HINT_POLL_MS = 5_000;
/** How long a commit that is held is left alone, unless somebody asks: its hosts are listed by Nix, which takes seconds. */
const HELD_REST_MS = 10 * 60_000;
const RETRY = { baseMs: 500, capMs: 60_000 };

/**
 * Processes one repository: takes in its newest head and advances it to signed releases. The state of every step is in the
 * database, so that the next holder of the lease continues where a killed process stopped. Returns when `signal` aborts; waits
 * while another process holds the lease.
 */
export async function runPipeline(deps: PipelineDeps, repositoryId: string, signal: AbortSignal): Promise<void> {
  const { store, clock, owner, logger } = deps;
  while (!signal.aborted) {
    const token = await retrying(deps, signal, async () => await store.repositories.claim(repositoryId, owner, LEASE_MS));
    if (token === undefined) {
      await clock.sleep(LEASE_MS / 3, signal);
      continue;
    }
    logger.debug('lease taken', { repositoryId });
    await workUnderLease(deps, { repositoryId, token }, signal);
  }
  await store.repositories.unclaim(repositoryId, owner).catch((error: unknown) => logger.debug('the lease could not be released', { error }));
}

/** Runs until the lease is lost or `signal` aborts. */
async function workUnderLease(unleased: PipelineDeps, claimed: Omit<Lease, 'onLost'>, signal: AbortSignal): Promise<void> {
  const { clock, owner, logger } = unleased;
  const { repositoryId } = claimed;
  const lost = new AbortController();
  const lose = (): void => {
    if (!lost.signal.aborted && !signal.aborted)
      logger.warn('the lease was lost; another process continues, and takes nothing that is signed here from now on', { repositoryId });
    lost.abort();
  };
  const lease = { ...claimed, onLost: lose };
  // Nothing below has another store: what is written late is refused, whatever code writes it.
  const store = unleased.store.underLease(lease);
  const deps = { ...unleased, store };
  const inner = AbortSignal.any([signal, lost.signal]);
  const looking = createWake();
  const working = createWake();
  const testing = createWake();
  const submitted = createWake();
  /** The revision being processed. The controller stops it when a newer commit supersedes it. */
  const running: { id?: string | undefined; controller: AbortController } = { controller: new AbortController() };
  looking.wake();
  working.wake();
  await using _listener = await listen(deps, (id) => {
    if (id !== repositoryId) return;
    looking.wake();
    submitted.wake();
  });

  async function keepLease(): Promise<void> {
    let heldUntil = clock.monotonic() + LEASE_MS;
    while (!inner.aborted) {
      await clock.sleep(LEASE_MS / 3, inner);
      if (inner.aborted) return;
      try {
        if (!(await store.repositories.renew(lease, owner, LEASE_MS))) break;
        heldUntil = clock.monotonic() + LEASE_MS;
      } catch (error) {
        logger.warn('the lease could not be renewed', { error });
        if (clock.monotonic() > heldUntil) break;
      }
    }
    lose();
  }

  /**
   * Stops the step of a revision that has ended: a newer commit superseded it, waited long enough for it, or an administrator was in a hurry. `isIdleToo`:
   * also what is done while none is under way.
   */
  async function stopWhatEnded(isIdleToo = false): Promise<void> {
    const { id } = running;
    if (id === undefined && !isIdleToo) return;
    if (id !== undefined) {
      if (await store.revisions.endOverdue(repositoryId, clock.now()))
        logger.warn('a newer commit has waited long enough: the one under way is ended', { revision: id });
      const current = await store.revisions.get(id);
      // One that came to its own end meanwhile stops nothing that is done after it.
      if (running.id !== id || (current !== undefined && !isEndedRevision(current.state))) return;
    }
    running.controller.abort();
    running.controller = new AbortController();
  }

  async function look(): Promise<void> {
    let seenHints = -1;
    let nextPollAt = 0;
    let leaveAloneUntil = 0;
    let attempt = 0;
    while (!inner.aborted) {
      await looking.wait(Math.min(HINT_POLL_MS, Math.max(1, nextPollAt - clock.monotonic())), inner);
      if (inner.aborted) return;
      try {
        const { hintCount } = await store.repositories.get(repositoryId);
        await stopWhatEnded();
        if (clock.monotonic() < leaveAloneUntil) continue;
        // Only an increased counter is a request: the hint alone may be caused by this process's own writes.
        if (hintCount === seenHints && clock.monotonic() < nextPollAt) continue;
        const outcome = await takeIn(deps, repositoryId, inner);
        // An administrator or a webhook asks for a retry, also of a commit that waits for something.
        if (seenHints !== hintCount) {
          working.wake();
          testing.wake();
        }
        seenHints = hintCount;
        const isRetry = outcome.kind === 'failed' && outcome.isRetryable;
        attempt = isRetry ? attempt + 1 : 0;
        const pause =
          outcome.lookAgainMs ??
          (isRetry
            ? Math.min(deps.pollMs, 1_000 + fullJitter(attempt, { baseMs: 1_000, capMs: 60_000 }, deps.random))
            : deps.pollMs * (0.8 + 0.4 * deps.random()));
        leaveAloneUntil = clock.monotonic() + (outcome.kind === 'failed' ? (outcome.leaveAloneMs ?? 0) : 0);
        nextPollAt = Math.max(clock.monotonic() + pause, leaveAloneUntil);
        if (outcome.kind === 'received') {
          await stopWhatEnded(true);
          working.wake();
        }
      } catch (error) {
        if (inner.aborted || isAbort(error)) return;
        // A bug while reading one commit does not end the loop: the next look may find another commit.
        logger.warn('looking at the repository failed', { error });
        attempt += 1;
        nextPollAt = Math.max(clock.monotonic() + fullJitter(attempt, RETRY, deps.random), leaveAloneUntil);
      }
    }
  }

  async function work(): Promise<void> {
    let attempt = 0;
    const watches = [new SelfWatch(deps), new TraceWatch(deps)];
    /** Somebody asked to look again, as a webhook does. */
    let isAsked = true;
    let restUntil = 0;
    while (!inner.aborted) {
      running.id = undefined;
      const step = AbortSignal.any([inner, running.controller.signal]);
      let revision: Revision | undefined;
      try {
        const repository = await store.repositories.get(repositoryId);
        revision = await store.revisions.nextUnfinished(repositoryId);
        running.id = revision?.id;
        const rests: boolean = revision !== undefined && isHeld(repository, revision) && !isAsked && clock.monotonic() < restUntil;
        if (!rests) restUntil = clock.monotonic() + HELD_REST_MS;
        let isIdle: boolean;
        if (revision === undefined) isIdle = !(await takeUpReplaced(deps, repositoryId)) && (await workWhileIdle(repository, step, watches));
        // One that rests makes room for what comes after it all the same.
        else if (rests) isIdle = !(await giveWay(deps, revision));
        else isIdle = await advance(deps, repository, revision, step);
        attempt = 0;
        isAsked = isIdle && (await working.wait(HINT_POLL_MS, inner));
      } catch (error) {
        if (inner.aborted) return;
        if (step.aborted) continue; // superseded by a newer revision
        logger.warn('a step failed', { error, code: isFloeError(error) ? error.code : 'BUG' });
        if (revision !== undefined) await recordFailure(deps, revision, error);
        await working.wait(500 + fullJitter(attempt, RETRY, deps.random), step);
        attempt += 1;
      }
    }
  }

  /** Apart from the work, which may take an hour: what became stable is to survive the database. */
  async function keepStableLogged(): Promise<void> {
    let attempt = 0;
    while (!inner.aborted) {
      try {
        const count = await logStable(deps, repositoryId);
        if (count > 0) logger.info('what is stable was written to the statement log', { hosts: count });
        attempt = 0;
      } catch (error) {
        if (inner.aborted) return;
        logger.warn('what is stable could not be written to the statement log; trying again', { error });
        attempt += 1;
      }
      await clock.sleep(HINT_POLL_MS + (attempt === 0 ? 0 : fullJitter(attempt, RETRY, deps.random)), inner);
    }
  }

  /** Apart from the work, which goes on while nothing can be signed. */
  async function keepFresh(): Promise<void> {
    const freshness = new FreshnessKeeper(deps);
    let attempt = 0;
    while (!inner.aborted) {
      try {
        await freshness.keep(await store.repositories.get(repositoryId));
        attempt = 0;
      } catch (error) {
        if (inner.aborted) return;
        logger.warn('what hosts are told of how new a release is could not be renewed; trying again', { error });
        attempt += 1;
      }
      await clock.sleep(HINT_POLL_MS + (attempt === 0 ? 0 : fullJitter(attempt, RETRY, deps.random)), inner);
    }
  }

  /** Apart from the work: who names a system by its path does not wait for a build. */
  async function publishSubmitted(): Promise<void> {
    let attempt = 0;
    while (!inner.aborted) {
      try {
        const arePinsDone = await publishSubmissions(deps, repositoryId, inner);
        const areReleasesDone = await publishHandovers(deps, repositoryId, inner, () => working.wake());
        attempt = arePinsDone && areReleasesDone ? 0 : attempt + 1;
      } catch (error) {
        if (inner.aborted) return;
        logger.warn('looking at submitted store paths failed', { error });
        attempt += 1;
      }
      await submitted.wait(HINT_POLL_MS + (attempt === 0 ? 0 : fullJitter(attempt, RETRY, deps.random)), inner);
    }
  }

  /** Testing branches have the time that the tracked branch leaves them: a revision that is received stops what they do, and comes first. */
  async function tryBranches({ testing: branches, ...others }: PipelineDeps): Promise<void> {
    if (branches === undefined) return;
    const followed = new TestingBranches({ ...others, testing: branches }, repositoryId);
    while (!inner.aborted) {
      const step = AbortSignal.any([inner, running.controller.signal]);
      try {
        const isBusy = (await store.revisions.nextUnfinished(repositoryId)) !== undefined;
        if (!isBusy && !(await followed.turn(step))) return;
      } catch (error) {
        if (inner.aborted) return;
        if (!step.aborted) logger.warn('looking at the testing branches failed', { error });
      }
      await testing.wait(HINT_POLL_MS, inner);
    }
  }

  /** The work while no revision is under way. Resolves to true when there was none. */
  async function workWhileIdle(repository: Repository, step: AbortSignal, watches: readonly (SelfWatch | TraceWatch)[]): Promise<boolean> {
    const newest = await store.revisions.newest(repositoryId);
    const retryAt = newest === undefined ? undefined : await store.revisions.nextRetryAt(newest.id);
    // A newer revision evaluates the hosts of a superseded one itself; after other failures an administrator decides. Of a submitted one
    // nothing can be evaluated.
    const hasCommit = newest?.handoverId === undefined;
    const canBeLate = hasCommit && (newest?.state === 'PUBLISHED' || newest?.state === 'BUILD_FAILED');
    if (newest === undefined || !canBeLate || retryAt === undefined || retryAt > clock.now()) {
      if (newest !== undefined) for (const watch of watches) await watch.look(newest, step);
      return true;
    }
    await tryLateHosts(deps, repository, newest, step);
    return false;
  }

  try {
    const keepCache = async (): Promise<void> => await deps.keepCache?.(async () => await store.confirmLease(), inner);
    await Promise.all([keepLease(), look(), work(), keepStableLogged(), keepFresh(), publishSubmitted(), tryBranches(deps), keepCache()]);
  } finally {
    lost.abort();
  }
}

async function listen(deps: PipelineDeps, onRepository: (id: string) => void): Promise<AsyncDisposable> {
  return await deps.store.hints.listen((hints) => {
    for (const hint of hints) if (hint.topic === 'repository') onRepository(hint.id);
  });
}

/** Repeats `action` until the database answers. */
async function retrying<T>(deps: PipelineDeps, signal: AbortSignal, action: () => Promise<T>): Promise<T | undefined> {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      return await action();
    } catch (error) {
      if (!isFloeError(error) || !error.retryable) throw error;
      deps.logger.warn('the database does not answer; trying again', { error });
      await deps.clock.sleep(200 + fullJitter(attempt, { baseMs: 200, capMs: 5_000 }, deps.random), signal);
    }
  }
  return undefined;
}
