import type { HostName } from './brands.ts';
import { HOST_STANDINGS, needsAction, type HostStanding } from './standing.ts';

export const ROLLOUT_STATES = ['NEXT', 'WAITING_APPROVAL', 'READY', 'ROLLING', 'SOAKING', 'COMPLETE', 'PAUSED', 'ABORTED', 'SUPERSEDED'] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

/** The number of hosts by standing; they sum to `total`. Hosts that the revision removed are not counted. */
export type RolloutCounts = Readonly<Record<HostStanding, number>> & { readonly total: number };

/** Counts the hosts of a rollout by standing. */
export function countRollout(standings: readonly HostStanding[]): RolloutCounts {
  const counts = Object.fromEntries(HOST_STANDINGS.map((standing) => [standing, 0])) as Record<HostStanding, number>;
  for (const standing of standings) counts[standing] += 1;
  return { ...counts, total: standings.length };
}

/** Whether a host with this standing could still come to run the system without an administrator. */
const COULD_RUN_LATER: Readonly<Record<HostStanding, boolean>> = {
  'in-sync': true,
  'under-way': true,
  waiting: true,
  queued: true,
  'kept-back': false,
  'local-override': true,
  'rolled-back': false,
  failed: false,
  drifted: false,
  behind: false,
  'not-built': false,
  removed: false,
  pinned: false,
  trial: false,
  away: true,
  'not-enrolled': false,
  'not-ours': false,
  'no-release': true,
  revoked: false,
  cloned: false,
};

/** True when at least one host was observed to run the system, or none of the hosts could without an administrator. */
export function runsSomewhere(counts: RolloutCounts): boolean {
  return counts['in-sync'] > 0 || HOST_STANDINGS.every((standing) => !COULD_RUN_LATER[standing] || counts[standing] === 0);
}

/**
 * True when a host of the rollout needs attention for a reason that no other status of the commit reports. A host without a
 * release is reported by the status of the evaluation or the build.
 */
export function hasUnreportedTrouble(counts: RolloutCounts): boolean {
  return HOST_STANDINGS.some(
    (standing) => standing !== 'behind' && standing !== 'not-built' && standing !== 'removed' && needsAction(standing) && counts[standing] > 0,
  );
}

/** Agents reconnect within this time after a restart of the server or a short network failure. */
export const AWAY_GRACE_MS = 90_000;

/**
 * True when the host is away for less than {@link AWAY_GRACE_MS}. `awaySince` may come from another server's clock, so a
 * difference into the future counts the same.
 */
export function isBrieflyAway(awaySince: number | undefined, now: number): boolean {
  return awaySince !== undefined && Math.abs(now - awaySince) < AWAY_GRACE_MS;
}

/** A host of a rollout, with its standing. */
export interface RolloutHost {
  readonly host: HostName;
  readonly standing: HostStanding;
  /** Why it has this standing, for people; undefined where the standing says it all. */
  readonly reason: string | undefined;
  /** It is away for less than {@link AWAY_GRACE_MS}. */
  readonly isBrieflyAway: boolean;
}

/** The standing of all hosts of a rollout; after its revision was superseded, as it was then. */
export interface RolloutSummary {
  readonly counts: RolloutCounts;
  /** The number of hosts that are away for less than {@link AWAY_GRACE_MS}. */
  readonly leaving: number;
  /** The hosts that are not in sync, at most {@link MAX_NAMED}, those that need attention first. */
  readonly hosts: readonly Pick<RolloutHost, 'host' | 'standing' | 'reason'>[];
}

/** Further hosts are only counted. */
const MAX_NAMED = 200;

/** Summarizes the hosts of a rollout. */
export function summarizeRollout(all: readonly RolloutHost[]): RolloutSummary {
  const notInSync = all.filter(({ standing }) => standing !== 'in-sync');
  const urgent = notInSync.filter(({ standing }) => needsAction(standing));
  const others = notInSync.filter(({ standing }) => !needsAction(standing));
  return {
    counts: countRollout(all.map(({ standing }) => standing)),
    leaving: all.filter(({ isBrieflyAway: isAway }) => isAway).length,
    hosts: [...urgent, ...others].slice(0, MAX_NAMED).map(({ host, standing, reason }) => ({ host, standing, reason })),
  };
}

/** The names of the hosts that need attention, by standing. */
export function namesNeedingAttention({ hosts }: RolloutSummary): Partial<Record<HostStanding, HostName[]>> {
  const names: Partial<Record<HostStanding, HostName[]>> = {};
  for (const { host, standing } of hosts) if (needsAction(standing)) (names[standing] ??= []).push(host);
  return names;
}
