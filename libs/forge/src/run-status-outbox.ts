import { describeError, fullJitter, isAboutSubject, isFloeError, type BackoffOptions, type Clock, type Logger } from '@floe/runtime';
import type { CommitStatuses, PostOutcome } from './status.ts';
import type { ClaimedStatus, StatusOutbox } from './status-outbox.ts';

/** Longer than a post can take (three requests of 10 s each, with an App whose kept token was refused), so that no two senders hold one row. */
const LEASE_MS = 60_000;
/** For a forge that fails or is away. */
const AWAY: BackoffOptions = { baseMs: 1_000, capMs: 5 * 60_000 };
/** For a forge that refuses us: only a person can change that, and asking often gets a token blocked. */
const REFUSED: BackoffOptions = { baseMs: 30_000, capMs: 15 * 60_000 };
/** Full jitter may come out as 0; a forge that just failed gets a moment of peace. */
const MIN_PAUSE_MS = 500;

export interface StatusOutboxDeps {
  readonly outbox: StatusOutbox;
  readonly statuses: CommitStatuses;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** Resolves when there may be something due, or when `signal` aborts. May come for nothing. */
  readonly wake: (signal: AbortSignal) => Promise<void>;
}

/**
 * Sends what is due in the outbox, one status after another, until `signal` aborts. While the forge fails, limits or
 * refuses us everything waits, and meanwhile the outbox coalesces: what is sent in the end is what should stand then.
 * Nothing is given up but a status that the forge rejects for itself, and then a newer one in its place is tried.
 * Waits for a store that is away.
 */
export async function runStatusOutbox(deps: StatusOutboxDeps, signal: AbortSignal): Promise<void> {
  const { clock, random, logger } = deps;
  let failures = 0;
  let storeFailures = 0;
  while (!signal.aborted) {
    try {
      const claimed = await deps.outbox.claim(clock.now(), LEASE_MS);
      if (claimed === undefined) {
        await deps.wake(signal);
      } else {
        const outcome = await sendOrSetAside(deps, claimed, failures, signal);
        failures = outcome.isForgeWell ? 0 : failures + 1;
        if (outcome.pauseMs > 0) await clock.sleep(outcome.pauseMs, signal);
      }
      storeFailures = 0;
    } catch (error) {
      if (!isFloeError(error) || !error.retryable) throw error;
      logger.warn('the outbox of commit statuses is away; trying again', { error });
      await clock.sleep(Math.max(MIN_PAUSE_MS, fullJitter(storeFailures++, AWAY, random)), signal);
    }
  }
}

interface Sent {
  readonly isForgeWell: boolean;
  /** For how long nothing may be sent. */
  readonly pauseMs: number;
}

/** An error about one status is that status' trouble: it waits for long, and the others go on. */
async function sendOrSetAside(deps: StatusOutboxDeps, claimed: ClaimedStatus, failures: number, signal: AbortSignal): Promise<Sent> {
  try {
    return await send(deps, claimed, failures, signal);
  } catch (error) {
    if (!isAboutSubject(error)) throw error;
    deps.logger.error('a commit status could not be worked on; the others go on', { sha: claimed.sha, context: claimed.context, error });
    await deps.outbox.postpone(claimed.id, deps.clock.now() + REFUSED.capMs, describeError(error));
    return { isForgeWell: true, pauseMs: 0 };
  }
}

async function send(deps: StatusOutboxDeps, claimed: ClaimedStatus, failures: number, signal: AbortSignal): Promise<Sent> {
  const { outbox, statuses, clock, logger } = deps;
  const outcome = await statuses.post(claimed, signal);
  const facts = { sha: claimed.sha, context: claimed.context, state: claimed.state };
  if (outcome.kind === 'sent') {
    await outbox.settle(claimed.id, claimed.version, clock.now());
    logger.debug('a commit status was sent', facts);
    return { isForgeWell: true, pauseMs: 0 };
  }
  if (signal.aborted) {
    // Cut off by us, not by the forge: whoever runs next may send it at once.
    await outbox.postpone(claimed.id, clock.now(), 'the sender stopped');
    return { isForgeWell: true, pauseMs: 0 };
  }
  if (outcome.kind === 'refused' && outcome.concerns === 'status') {
    await outbox.abandon(claimed.id, claimed.version, clock.now(), outcome.message);
    logger.error('a commit status was rejected', { ...facts, code: outcome.code, reason: outcome.message });
    return { isForgeWell: true, pauseMs: 0 };
  }
  // Two backoffs: the row's own, so that one status on which the forge always fails does not hold up the others for long.
  const pauseMs = pauseAfter(outcome, failures, deps.random);
  const rowPauseMs = Math.max(pauseMs, pauseAfter(outcome, Math.max(failures, claimed.attempts), deps.random));
  await outbox.postpone(claimed.id, clock.now() + rowPauseMs, outcome.message);
  const log = outcome.kind === 'refused' ? logger.error : logger.warn;
  log('commit statuses cannot be sent; trying again later', { ...facts, code: outcome.code, reason: outcome.message, pauseMs });
  return { isForgeWell: false, pauseMs };
}

/** What the forge asked for, and jitter on top: others wait for the same moment. Without a wish, jitter alone. */
function pauseAfter(outcome: Exclude<PostOutcome, { kind: 'sent' }>, attempt: number, random: () => number): number {
  if (outcome.kind === 'refused') return Math.max(MIN_PAUSE_MS, fullJitter(attempt, REFUSED, random));
  if (outcome.afterMs === undefined) return Math.max(MIN_PAUSE_MS, fullJitter(attempt, AWAY, random));
  return outcome.afterMs + fullJitter(0, AWAY, random);
}
