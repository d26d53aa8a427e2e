import type { CommitSha, StatusClaim, StatusWish } from '@floe/model';
import type { Timestamp } from './records.ts';

/** A commit status that should stand on the forge. One row per repository, commit and context. */
export interface CommitStatus extends StatusWish {
  readonly repositoryId: string;
  readonly sha: CommitSha;
  readonly context: string;
}

export interface WantedStatus extends CommitStatus {
  /** With `onlyOverPending`, `RING_CONTEXT` alone is every ring that the commit has a status of: which they are, need not be known. */
  readonly context: string;
  readonly now: Timestamp;
  /** It ends what is pending, and does nothing else: for a commit of which no verdict will come. */
  readonly onlyOverPending?: boolean | undefined;
}

/** A status that its holder is to send, or to look for, now. */
export interface DueStatus extends CommitStatus, StatusClaim {
  readonly id: string;
  readonly isUnderWay: boolean;
  /** Which try this is, from 1. */
  readonly attempts: number;
  /** The forge may record an older one yet, or has this one already: it is looked at first. */
  readonly isUnsure: boolean;
}

/** What the marks of a claim need of it. */
export type Claimed = Pick<DueStatus, 'id' | keyof StatusClaim>;

/**
 * The statuses that should stand, at most one try of each under way: so they arrive in order. The marks of a claim that ran
 * out, and was taken over, do nothing. What becomes of a status is decided by `status-entry.ts` of libs/model.
 */
export interface OutboxStore {
  /** Wants these statuses, all or none. Repeats are dropped; a changed one replaces what was not sent yet. */
  putAll(statuses: readonly WantedStatus[]): Promise<void>;
  /** Takes due statuses, longest due first, for `leaseMs`, within which they are to be marked or renewed. */
  claimDue(options: {
    readonly now: Timestamp;
    readonly limit: number;
    readonly leaseMs: number;
    /** Undefined: of every repository. A server sends those of its own to its own forge. */
    readonly repositoryId?: string | undefined;
  }): Promise<readonly DueStatus[]>;
  /** The holder is still at it. False: the claim ran out and was taken over. */
  renew(claimed: Claimed, now: Timestamp, leaseMs: number): Promise<boolean>;
  /** The forge took it just now. A status that changed meanwhile is due in its turn. */
  markSent(claimed: Claimed, at: Timestamp): Promise<void>;
  /** The forge was seen to have it. */
  markSeen(claimed: Claimed, at: Timestamp): Promise<void>;
  /** Not yet: to be tried again at `dueAt`. What the status has become by then is sent. `missedAt`: it may have been recorded, or be recorded yet. */
  markRetry(claimed: Claimed, error: string, dueAt: Timestamp, missedAt?: Timestamp): Promise<void>;
  /** The forge will never take it. Only a change of the status is tried again. */
  markFailed(claimed: Claimed, error: string, at: Timestamp): Promise<void>;
  /** Deletes statuses that last changed before `before` and have nothing left to send or to check. Returns the number. */
  prune(before: Timestamp): Promise<number>;
  /** When the next status is to be sent, or looked for. */
  nextDueAt(repositoryId?: string): Promise<Timestamp | undefined>;
}
