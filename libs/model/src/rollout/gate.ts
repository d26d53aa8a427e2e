import { MAX_FAILURES, type RolloutPause } from './course.ts';
import type { RingPolicy } from './policy.ts';
import type { RingHost } from './progress.ts';

/** The eligible hosts of a ring, counted. */
export interface RingCounts {
  readonly eligible: number;
  readonly verified: number;
  /** Failures that nobody has acknowledged. */
  readonly failed: number;
  /** Failures that a person resumed after: they count in no gate. */
  readonly acknowledged: number;
  readonly inFlight: number;
  readonly waiting: number;
  /** Present and on their way, or away for so short that they may come back at once. */
  readonly toCome: number;
  readonly away: number;
}

/** It failed, and nobody resumed after it. */
export function isUnacknowledged({ isEligible, progress, isAcknowledged }: RingHost): boolean {
  return isEligible && progress === 'failed' && !isAcknowledged;
}

/** Counts the eligible hosts of a ring. */
export function countRing(hosts: readonly RingHost[]): RingCounts {
  const eligible = hosts.filter(({ isEligible }) => isEligible);
  const count = (is: (host: RingHost) => boolean): number => eligible.filter(is).length;
  return {
    eligible: eligible.length,
    verified: count(({ progress }) => progress === 'verified'),
    failed: count(({ progress, isAcknowledged }) => progress === 'failed' && !isAcknowledged),
    acknowledged: count(({ progress, isAcknowledged }) => progress === 'failed' && isAcknowledged),
    inFlight: count(({ progress }) => progress === 'in-flight'),
    waiting: count(({ progress }) => progress === 'waiting'),
    toCome: count(({ progress, isBrieflyAway }) => progress === 'to-come' || (progress === 'away' && isBrieflyAway)),
    away: count(({ progress, isBrieflyAway }) => progress === 'away' && !isBrieflyAway),
  };
}

/** What a ring has to show before the next one begins. */
export type Gates = Pick<RingPolicy, 'successPercent' | 'errors' | 'minVerified' | 'soakMs'>;

/** How many verified hosts the gate needs: never more than there can be. */
export function neededVerified(gates: Gates, { eligible, acknowledged }: RingCounts): number {
  return Math.max(0, Math.min(gates.minVerified, eligible - acknowledged));
}

/** True when too many of the hosts that started have failed. */
export function isBroken({ errors }: Gates, { eligible, acknowledged, verified, failed, inFlight }: RingCounts): boolean {
  const started = verified + failed + inFlight;
  const minStarted = Math.min(errors.minStarted, eligible - acknowledged);
  return failed > 0 && started >= minStarted && failed * 100 > errors.percent * started;
}

/**
 * True when the ring may be left. Hosts that are away or wait for their user are not waited for; those that are on their way are,
 * until enough of them are verified. `isOverdue`: the ring's deadline has passed, and hosts that have not started are not waited for.
 */
export function isPassed(gates: Gates, counts: RingCounts, isOverdue = false): boolean {
  const { eligible, verified, failed, inFlight } = counts;
  if (eligible === 0) return true;
  if (verified < neededVerified(gates, counts) || isBroken(gates, counts)) return false;
  const started = verified + failed + inFlight;
  const toCome = isOverdue ? 0 : counts.toCome;
  if (verified * 100 < gates.successPercent * started) return false;
  return inFlight + toCome === 0 || (gates.successPercent > 0 && verified * 100 >= gates.successPercent * (started + toCome));
}

/** The pause for a ring's failures, which names them: the same ones, in whatever order the hosts were read. */
export function pauseForFailures(hosts: readonly RingHost[]): RolloutPause {
  const failed = [...new Set(hosts.filter(isUnacknowledged))].toSorted((one, other) => (one.host < other.host ? -1 : 1));
  return {
    cause: 'failures',
    count: failed.length,
    failures: failed.slice(0, MAX_FAILURES).map(({ host, toplevel, failure }) => ({ host, toplevel, reason: failure ?? '' })),
  };
}
