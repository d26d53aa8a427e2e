/** The situation when a newer commit arrives while an older one is being processed. */
export interface NewerCommit {
  /** How many commits in a row were overtaken since one was last published with all its hosts. */
  readonly supersededInARow: number;
  /** Since the first of these commits, or the one being processed, was received. */
  readonly waitingMs: number;
  /** The current step failed and is being retried, so that waiting for it might never end. */
  readonly isStuck: boolean;
}

/** After this many supersessions in a row, or this long, the current commit is finished first. */
export const SUPERSESSION_LIMIT = { supersessions: 3, ms: 3 * 60_000 } as const;

/**
 * Whether to finish the current commit before looking at a newer one. Usually not, because only the newest is wanted. But where
 * commits arrive faster than they are evaluated and built, nothing would ever be released.
 */
export function mustFinishFirst({ supersededInARow, waitingMs, isStuck }: NewerCommit): boolean {
  return !isStuck && (supersededInARow >= SUPERSESSION_LIMIT.supersessions || waitingMs >= SUPERSESSION_LIMIT.ms);
}

/** How long a newer commit waits for one that is finished first. */
export const PATIENCE = { baseMs: 15 * 60_000, capMs: 4 * 60 * 60_000 } as const;

/**
 * How long a newer commit waits at most for an older one that is finished first. What hangs (a build, an evaluation) must not hold up what mends
 * it. `endedInARow`: so many commits before were ended by this, since one was last published with all its hosts. Each doubles the time: where every
 * commit takes longer, one is released in the end, however fast others come.
 */
export function patienceMs(endedInARow: number): number {
  return Math.min(PATIENCE.capMs, PATIENCE.baseMs * 2 ** Math.min(20, Math.max(0, endedInARow)));
}

const RETRY = { baseMs: 30_000, capMs: 15 * 60_000 } as const;

/** The pause before a host with a temporary error (e.g. an unreachable source) is retried: 30 s, doubled with each try, at most 15 min. */
export function retryDelayMs(tries: number): number {
  return Math.min(RETRY.capMs, RETRY.baseMs * 2 ** Math.min(20, Math.max(0, tries - 1)));
}
