import type { HostName } from './brands.ts';
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

/** A host of a rollout, and where it stands. */
export interface RolloutHost {
  readonly host: HostName;
  readonly standing: HostStanding;
  /** What is known of why it stands there, for people; undefined where that says nothing. */
  readonly reason: string | undefined;
  /** It is away for so short a time that it may be back at once. */
  readonly isLeaving: boolean;
}

/** Where a rollout stands, or stood when its revision was superseded. */
export interface RolloutStanding {
  readonly counts: RolloutCounts;
  /** So many are away that may be back at once. */
  readonly leaving: number;
  /** Those that are not in sync, the ones that need a person first; not all of them, where they are very many. */
  readonly hosts: readonly Pick<RolloutHost, 'host' | 'standing' | 'reason'>[];
}

/** More are counted, and not told by name. */
const MAX_NAMED = 200;

/** Where a rollout with these hosts stands. */
export function judgeRollout(all: readonly RolloutHost[]): RolloutStanding {
  const others = all.filter(({ standing }) => standing !== 'in-sync');
  const calling = others.filter(({ standing }) => needsPerson(standing));
  const quiet = others.filter(({ standing }) => !needsPerson(standing));
  return {
    counts: countRollout(all.map(({ standing }) => standing)),
    leaving: all.filter(({ isLeaving: leaves }) => leaves).length,
    hosts: [...calling, ...quiet].slice(0, MAX_NAMED).map(({ host, standing, reason }) => ({ host, standing, reason })),
  };
}

/** The hosts of a rollout that need a person, by standing: what is told by name. */
export function namesToTell({ hosts }: RolloutStanding): Partial<Record<HostStanding, HostName[]>> {
  const names: Partial<Record<HostStanding, HostName[]>> = {};
  for (const { host, standing } of hosts) if (needsPerson(standing)) (names[standing] ??= []).push(host);
  return names;
}
