/** What a newer commit finds when it comes while an older one is under way. */
export interface Overtaking {
  /** Commits that were superseded one after the other since one last came to its own end. */
  readonly supersededInARow: number;
  /** Since the first of these, or the one under way, was received. */
  readonly waitingMs: number;
  /** The step of the one under way failed, and is being tried again: to wait for it could be for ever. */
  readonly isStuck: boolean;
}

/** After so many commits that nothing came of, or so long, the one under way is finished first. */
export const PATIENCE = { supersessions: 3, ms: 3 * 60_000 } as const;

/**
 * Whether the commit under way is finished before a newer one is looked at. Mostly not: the newest is what is wanted. But
 * where commits come faster than they are evaluated and built, nothing would ever be released.
 */
export function isFinishedFirst({ supersededInARow, waitingMs, isStuck }: Overtaking): boolean {
  return !isStuck && (supersededInARow >= PATIENCE.supersessions || waitingMs >= PATIENCE.ms);
}

const RETRY = { baseMs: 30_000, capMs: 15 * 60_000 } as const;

/** When a host whose trouble may pass (a source that is away) is tried again, after so many tries: 30 s, then twice as long each time, 15 min at most. */
export function retryDelayMs(tries: number): number {
  return Math.min(RETRY.capMs, RETRY.baseMs * 2 ** Math.min(20, Math.max(0, tries - 1)));
}
