import { createWake, describeError, fullJitter, isFloeError, type Clock, type Logger } from '@floe/runtime';
import type { Repository, PlainStore } from '@floe/store';

const HINT_POLL_MS = 5_000;
const RETRY = { baseMs: 1_000, capMs: 60_000 };

/** The notice that the repository's default branch is another one now. */
export const OTHER_DEFAULT = 'DEFAULT_BRANCH_MOVED';

export interface DefaultBranchDeps {
  readonly store: Pick<PlainStore, 'repositories' | 'hints'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly pollMs: number;
  readonly nameSettings: (message: string) => string;
  /** Which branch the server's HEAD names. */
  readonly find: (signal: AbortSignal) => Promise<string>;
}

/**
 * The branch that is followed. Where none is set, and none is known from before, the repository's server is asked until it answers:
 * a failure is the repository's problem, as that of a fetch is. What it names stays: releases belong to a branch.
 */
export async function branchOf(deps: DefaultBranchDeps, repositoryId: string, signal: AbortSignal): Promise<string> {
  const { store, clock, logger } = deps;
  const hinted = createWake();
  await using _listener = await store.hints.listen((hints) => {
    for (const hint of hints) if (hint.topic === 'repository' && hint.id === repositoryId) hinted.wake();
  });
  let attempt = 0;
  let seenHints = -1;
  let nextLookAt = 0;
  for (;;) {
    signal.throwIfAborted();
    try {
      const repository = await store.repositories.get(repositoryId);
      if (repository.branch !== '') return repository.branch;
      // Only an increased counter is a request: the hint alone may be caused by this process's own writes.
      if (repository.hintCount !== seenHints || clock.monotonic() >= nextLookAt) {
        seenHints = repository.hintCount;
        const isRetry = !(await look(deps, repository, signal));
        attempt = isRetry ? attempt + 1 : 0;
        const pause = 1_000 + fullJitter(attempt, RETRY, deps.random);
        nextLookAt = clock.monotonic() + (isRetry ? Math.min(deps.pollMs, pause) : deps.pollMs);
        continue;
      }
    } catch (error) {
      signal.throwIfAborted();
      logger.warn('looking for the default branch failed', { error });
    }
    await hinted.wait(Math.min(HINT_POLL_MS, Math.max(100, nextLookAt - clock.monotonic())), signal);
  }
}

/** Asks once. False: it is worth asking again soon. */
async function look({ store, clock, logger, find, nameSettings }: DefaultBranchDeps, { id, url }: Repository, signal: AbortSignal): Promise<boolean> {
  try {
    const branch = await find(signal);
    await store.repositories.nameBranch(id, branch);
    logger.info('the default branch is followed', { url, branch });
    return true;
  } catch (error) {
    if (signal.aborted || !isFloeError(error)) throw error;
    logger.warn('the default branch could not be found', { error });
    await store.repositories.recordFetch(id, { now: clock.now(), problem: { code: error.code, message: nameSettings(describeError(error)) } });
    return !error.retryable;
  }
}

/** The notice while HEAD names another branch than the one that is followed, where none is set. */
export function otherDefault(followed: string, named: string): string | undefined {
  if (followed === named) return undefined;
  return `the repository's default branch is now ${named}, and Floe goes on with ${followed}, because releases belong to a branch: set FLOE_REPOSITORY_BRANCH to ${named} to move there, with all hosts, or to ${followed} to stay`;
}
