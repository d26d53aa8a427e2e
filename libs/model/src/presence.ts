import type { RolloutPolicy } from './rollout/policy.ts';

/** Whether a host is there; if not, whether it is missed by now. */
export const PRESENCES = [
  'online',
  /** Not connected. Machines are switched off: that alone is nothing. */
  'away',
  /** Not heard of for longer than usual. A hint; nobody has to act. */
  'stale',
  /** Not heard of for so long that somebody should look where it is. */
  'lost',
] as const;
export type Presence = (typeof PRESENCES)[number];

export type PresenceLimits = RolloutPolicy['presence'];

export interface PresenceFacts {
  readonly isConnected: boolean;
  /** Undefined: never, or nobody knows any more. */
  readonly lastSeenAt: number | undefined;
  /** Undefined: it has no enrolment that holds, so that nobody misses it; or its times cannot be read. */
  readonly enrolledAt: number | undefined;
}

export interface JudgedPresence {
  readonly presence: Presence;
  /** When it becomes another one, if the host stays silent; undefined: never. */
  readonly changesAt: number | undefined;
}

/**
 * The presence of a host (SPEC.md, "Presence"). Total: a time that is ahead of `now`, or no number, makes nobody stale or lost.
 * `now`: up to when somebody listened. A server that was switched off has not missed anybody meanwhile.
 */
export function presenceOf({ isConnected, lastSeenAt, enrolledAt }: PresenceFacts, { staleMs, lostMs }: PresenceLimits, now: number): JudgedPresence {
  if (isConnected) return { presence: 'online', changesAt: undefined };
  // Enrolled again, it starts again: what was before is not held against it.
  const since = enrolledAt === undefined ? Number.NaN : Math.max(enrolledAt, lastSeenAt ?? enrolledAt);
  if (!Number.isFinite(since)) return { presence: 'away', changesAt: undefined };
  if (now >= since + lostMs) return { presence: 'lost', changesAt: undefined };
  if (now >= since + staleMs) return { presence: 'stale', changesAt: since + lostMs };
  return { presence: 'away', changesAt: since + Math.min(staleMs, lostMs) };
}
