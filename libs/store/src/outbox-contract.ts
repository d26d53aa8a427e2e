import type { CommitSha, StatusState } from '@floe/model';
import type { Timestamp } from './records.ts';

/** A commit status that should stand on the forge. One row per repository, commit and context. */
export interface CommitStatus {
  readonly repositoryId: string;
  readonly sha: CommitSha;
  readonly context: string;
  readonly state: StatusState;
  readonly description: string;
  readonly targetUrl: string;
}

/** A status that its holder is to send now. */
export interface DueStatus extends CommitStatus {
  readonly id: string;
  /** Which version of the status this is: it may be replaced while it is on its way. */
  readonly version: number;
  /** Which try this is, from 1. Tells this claim from a later one of the same status. */
  readonly attempts: number;
}

/**
 * The statuses that should stand, at most one try of each under way: so they arrive in order, and a stale one never
 * lands on a newer. The marks of a claim that ran out, and was claimed again, do nothing.
 */
export interface OutboxStore {
  /**
   * Wants this status. Repeats are dropped; a changed one replaces what was not sent yet. With `onlyOverPending` it is
   * for a commit that was overtaken: a verdict that stands is kept.
   */
  put(status: CommitStatus & { readonly now: Timestamp; readonly onlyOverPending?: boolean | undefined }): Promise<void>;
  /** Takes due statuses, longest due first, for `leaseMs`: longer than any try of a request may take. */
  claimDue(options: { readonly now: Timestamp; readonly limit: number; readonly leaseMs: number }): Promise<readonly DueStatus[]>;
  /** The forge has it. A status that changed meanwhile is due at once. */
  markSent(claimed: DueStatus, at: Timestamp): Promise<void>;
  /** Not yet: to be tried again at `dueAt`. What the status has become by then is sent. */
  markRetry(claimed: DueStatus, error: string, dueAt: Timestamp): Promise<void>;
  /** The forge will never take it. Only a change of the status is tried again. */
  markFailed(claimed: DueStatus, error: string, at: Timestamp): Promise<void>;
  /** Forgets statuses that last changed before, and wait for nothing; says how many. */
  prune(before: Timestamp): Promise<number>;
  /** When the next status is to be sent (again). */
  nextDueAt(): Promise<Timestamp | undefined>;
}
