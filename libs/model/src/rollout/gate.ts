import { MAX_FAILURES, type PausedFailures, type RolloutPause } from './course.ts';
import type { RingPolicy } from './policy.ts';
import type { RingHost } from './progress.ts';

/** As what an eligible host of a ring counts. */
export const COUNTED_AS = [
  'verified',
  /** A failure that nobody has acknowledged. */
  'failed',
  /** A failure that a person resumed after: it counts in no gate. */
  'acknowledged',
  'inFlight',
  'waiting',
  /** Present and on its way, or away for so short that it may come back at once. */
  'toCome',
  'away',
] as const;
export type CountedAs = (typeof COUNTED_AS)[number];

/** The eligible hosts of a ring, counted. */
export type RingCounts = Readonly<Record<CountedAs | 'eligible', number>>;

/** As what the host counts in its ring, where it is eligible. */
export function countedAs({ progress, isAcknowledged, isBrieflyAway }: RingHost): CountedAs {
  switch (progress) {
    case 'failed':
      return isAcknowledged ? 'acknowledged' : 'failed';
    case 'in-flight':
      return 'inFlight';
    case 'to-come':
      return 'toCome';
    case 'away':
      return isBrieflyAway ? 'toCome' : 'away';
    case 'verified':
    case 'waiting':
      return progress;
  }
}

/** It failed, and nobody resumed after it. */
export function isUnacknowledged({ isEligible, progress, isAcknowledged }: RingHost): boolean {
  return isEligible && progress === 'failed' && !isAcknowledged;
}

/** Counts the eligible hosts of a ring. */
export function countRing(hosts: readonly RingHost[]): RingCounts {
  const counts = { eligible: 0, verified: 0, failed: 0, acknowledged: 0, inFlight: 0, waiting: 0, toCome: 0, away: 0 };
  for (const host of hosts) {
    if (!host.isEligible) continue;
    counts.eligible += 1;
    counts[countedAs(host)] += 1;
  }
  return counts;
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
  return { cause: 'failures', ...nameFailures(hosts) };
}

/** Those that nobody has acknowledged. */
export function nameFailures(hosts: readonly RingHost[]): PausedFailures {
  const failed = [...new Set(hosts.filter(isUnacknowledged))].toSorted((one, other) => (one.host < other.host ? -1 : 1));
  return {
    count: failed.length,
    failures: failed.slice(0, MAX_FAILURES).map(({ host, toplevel, failure }) => ({ host, toplevel, reason: failure ?? '' })),
  };
}
