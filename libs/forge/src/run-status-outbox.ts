import { describeError, fullJitter, isAboutSubject, isFloeError, type BackoffOptions, type Clock, type Logger } from '@floe/runtime';
import type { CommitStatuses, PostOutcome } from './status.ts';
import type { ClaimedStatus, StatusOutbox } from './status-outbox.ts';
import { LEASE_MS, whileRenewed } from './while-renewed.ts';

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
 * Only a status that the forge rejects because of its content is given up; a later change of it is sent.
 * Waits for a store that is away.
 */
export async function runStatusOutbox(deps: StatusOutboxDeps, signal: AbortSignal): Promise<void> {
  const { clock, random, logger } = deps;
  let failures = 0;
  let storeFailures = 0;
  while (!signal.aborted) {
    try {
      const [claimed] = await deps.outbox.claimDue({ now: clock.now(), limit: 1, leaseMs: LEASE_MS });
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

const WELL: Sent = { isForgeWell: true, pauseMs: 0 };

/** An error about one status is that status' trouble: it waits for long, and the others go on. */
async function sendOrSetAside(deps: StatusOutboxDeps, claimed: ClaimedStatus, failures: number, signal: AbortSignal): Promise<Sent> {
  try {
    return await send(deps, claimed, failures, signal);
  } catch (error) {
    if (!isAboutSubject(error)) throw error;
    const now = deps.clock.now();
    deps.logger.error('a commit status could not be worked on; the others go on', { sha: claimed.sha, context: claimed.context, error });
    // Where it failed is not known: it may have been sent.
    await deps.outbox.markRetry(claimed, describeError(error), now + REFUSED.capMs, now);
    return WELL;
  }
}

async function send(deps: StatusOutboxDeps, claimed: ClaimedStatus, failures: number, signal: AbortSignal): Promise<Sent> {
  const { outbox, clock, logger } = deps;
  const outcome = await whileRenewed(deps, claimed, signal, async (held) => await lookAndPost(deps.statuses, claimed, held));
  const facts = { sha: claimed.sha, context: claimed.context, state: claimed.state };
  if (outcome.kind === 'sent') {
    await outbox.markSent(claimed, clock.now());
    logger.debug('a commit status was sent', facts);
    return WELL;
  }
  if (outcome.kind === 'seen') {
    await outbox.markSeen(claimed, clock.now());
    logger.debug('a commit status is there', facts);
    return WELL;
  }
  const missedAt = outcome.kind === 'retry' && outcome.isMissed ? clock.now() : undefined;
  if (signal.aborted) {
    // Cut off by us, not by the forge: whoever runs next may send it at once.
    await outbox.markRetry(claimed, 'the sender stopped', clock.now(), missedAt);
    return WELL;
  }
  if (outcome.kind === 'refused' && outcome.concerns === 'status') {
    await outbox.markFailed(claimed, outcome.message, clock.now());
    logger.error('a commit status was rejected', { ...facts, code: outcome.code, reason: outcome.message });
    return WELL;
  }
  // Two backoffs: the row's own, so that one status on which the forge always fails does not hold up the others for long.
  const pauseMs = pauseAfter(outcome, failures, deps.random);
  const rowPauseMs = Math.max(pauseMs, pauseAfter(outcome, Math.max(failures, claimed.attempts - 1), deps.random));
  await outbox.markRetry(claimed, outcome.message, clock.now() + rowPauseMs, missedAt);
  const log = outcome.kind === 'refused' ? logger.error : logger.warn;
  log('commit statuses cannot be sent; trying again later', { ...facts, code: outcome.code, reason: outcome.message, pauseMs });
  return { isForgeWell: false, pauseMs };
}

/**
 * After a missed answer the forge is asked what it has: most often the status, and then there is nothing to repeat. A forge
 * that cannot be asked is told again.
 */
async function lookAndPost(statuses: CommitStatuses, claimed: ClaimedStatus, signal: AbortSignal): Promise<PostOutcome | { readonly kind: 'seen' }> {
  if (claimed.isUnsure) {
    const found = await statuses.read(claimed, signal);
    if (found.kind === 'retry') return found;
    if (found.kind === 'read' && found.status !== undefined && statuses.isSame(found.status, claimed)) return { kind: 'seen' };
  }
  return await statuses.post(claimed, signal);
}

/** What the forge asked for, and jitter on top: others wait for the same moment. Without a wish, jitter alone. */
function pauseAfter(outcome: Exclude<PostOutcome, { kind: 'sent' }>, attempt: number, random: () => number): number {
  if (outcome.kind === 'refused') return Math.max(MIN_PAUSE_MS, fullJitter(attempt, REFUSED, random));
  if (outcome.afterMs === undefined) return Math.max(MIN_PAUSE_MS, fullJitter(attempt, AWAY, random));
  return outcome.afterMs + fullJitter(0, AWAY, random);
}
