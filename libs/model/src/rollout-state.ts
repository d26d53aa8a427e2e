import { HOST_STANDINGS, needsPerson, type HostStanding } from './standing.ts';

export const ROLLOUT_STATES = ['WAITING_APPROVAL', 'READY', 'ROLLING', 'SOAKING', 'COMPLETE', 'PAUSED', 'ABORTED', 'SUPERSEDED'] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

/** How many hosts of a revision stand where; they sum to `total`. Hosts that it removed are not part of it. */
export type RolloutCounts = Readonly<Record<HostStanding, number>> & { readonly total: number };

/** Counts the hosts of a rollout: one standing each. */
export function countRollout(standings: readonly HostStanding[]): RolloutCounts {
  const counts = Object.fromEntries(HOST_STANDINGS.map((standing) => [standing, 0])) as Record<HostStanding, number>;
  for (const standing of standings) counts[standing] += 1;
  return { ...counts, total: standings.length };
}

/** These two keep a rollout from being complete: what the commit did to the host is bad, and only a person ends it. */
const WENT_WRONG = ['rolled-back', 'failed'] as const satisfies readonly HostStanding[];

/**
 * True when a rollout has come to a good end: some host runs it, or there is none that could, nothing is on its way, and
 * nothing went wrong. `leaving`: so many are away for so short a time that they may be back at once.
 */
export function isComplete(counts: RolloutCounts, leaving = 0): boolean {
  if (counts['under-way'] + leaving > 0 || WENT_WRONG.some((standing) => counts[standing] > 0)) return false;
  return isSeenSomewhere(counts);
}

/** True when at least one host was seen to run it, or none of its hosts ever will by itself. */
export function isSeenSomewhere(counts: RolloutCounts): boolean {
  return (
    counts['in-sync'] > 0 ||
    counts['under-way'] + counts.waiting + counts['local-override'] + counts.away + counts['not-enrolled'] + counts['no-release'] === 0
  );
}

/**
 * True when a host of it needs a person, and no other status of the commit says so: that a host has no release is what its
 * evaluation or its build came to.
 */
export function isInTrouble(counts: RolloutCounts): boolean {
  return HOST_STANDINGS.some((standing) => standing !== 'behind' && standing !== 'removed' && needsPerson(standing) && counts[standing] > 0);
}

/** Away for less than this counts as about to be back: agents come back within it after a restart or a short cut. */
export const AWAY_GRACE_MS = 90_000;

/** True when a host that is away since then may be back at once. A time ahead of `now` is another clock's, within bounds. */
export function isLeaving(awaySince: number | undefined, now: number): boolean {
  return awaySince !== undefined && Math.abs(now - awaySince) < AWAY_GRACE_MS;
}
