import type { OutgoingStatus } from './status.ts';

/** A status that was claimed to be sent. */
export interface ClaimedStatus extends OutgoingStatus {
  /** The outbox's row: one per repository, commit and context. */
  readonly id: string;
  /** Which wish this is: grows each time that another status is wanted for the row. */
  readonly version: number;
  /** How many times in a row it was postponed. */
  readonly attempts: number;
}

/**
 * The part of the store that the sender needs. A row has something to send exactly while it has a due time.
 *
 * Rules for whoever keeps it, which together let no older status land on a newer one:
 * - a row is claimed by one sender at a time: `claim` moves its due time to `now + leaseMs`, in one statement;
 * - wanting another status (`put`) replaces the wish and raises the version, sets the due time when there was none, and
 *   else leaves it: under a claim the row stays claimed, under a backoff it stays postponed;
 * - `settle` and `abandon` of a version that is no longer the newest make the row due at once.
 */
export interface StatusOutbox {
  /** Of the rows that are due, the one that has been for longest; `undefined`: none is. */
  claim(now: number, leaseMs: number): Promise<ClaimedStatus | undefined>;
  /** The forge has this version. */
  settle(id: string, version: number, now: number): Promise<void>;
  /** Nothing was sent: due again at `dueAt`, with the newest wish. Counts an attempt. */
  postpone(id: string, dueAt: number, error: string): Promise<void>;
  /** The forge will never take this version; a newer one is tried. */
  abandon(id: string, version: number, now: number, error: string): Promise<void>;
}
