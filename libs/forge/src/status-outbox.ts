import type { StatusClaim } from '@floe/model';
import type { OutgoingStatus } from './status.ts';

/** A status that was claimed, to be sent or to be looked for. */
export interface ClaimedStatus extends OutgoingStatus, StatusClaim {
  readonly isUnderWay: boolean;
  /** The outbox's row: one per repository, commit and context. */
  readonly id: string;
  /** Which try this is, from 1. */
  readonly attempts: number;
  /** A request was left without an answer: the forge may have this status already, or record an older one yet. */
  readonly isUnsure: boolean;
}

/**
 * The part of the store that the sender needs. `status-entry.ts` of libs/model has the rules for whoever keeps it, which
 * together let no older status stay on a newer one. Marks of a claim that was taken over do nothing.
 */
export interface StatusOutbox {
  /** Of the rows that are due, those that have been for longest. */
  claimDue(options: { readonly now: number; readonly limit: number; readonly leaseMs: number }): Promise<readonly ClaimedStatus[]>;
  /** The holder is still at it. False: the claim was taken over. */
  renew(claimed: ClaimedStatus, now: number, leaseMs: number): Promise<boolean>;
  /** The forge took it just now. */
  markSent(claimed: ClaimedStatus, at: number): Promise<void>;
  /** The forge was seen to have it. */
  markSeen(claimed: ClaimedStatus, at: number): Promise<void>;
  /** Due again at `dueAt`, with the newest wish. `missedAt`: it may have been recorded, or be recorded yet. */
  markRetry(claimed: ClaimedStatus, error: string, dueAt: number, missedAt?: number): Promise<void>;
  /** The forge will never take this version; a newer one is tried. */
  markFailed(claimed: ClaimedStatus, error: string, at: number): Promise<void>;
}
