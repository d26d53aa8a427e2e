import type { CommitSha } from '@floe/model';
import type { Timestamp } from './records.ts';

export const STATUS_STATES = ['pending', 'success', 'failure', 'error'] as const;
export type StatusState = (typeof STATUS_STATES)[number];

/** A commit status that should stand on the forge. One row per repository, commit and context. */
export interface CommitStatus {
  readonly repositoryId: string;
  readonly sha: CommitSha;
  readonly context: string;
  readonly state: StatusState;
  readonly description: string;
  readonly targetUrl: string;
}

export interface OutboxStore {
  /** Wants this status. Repeats are dropped; a changed one replaces what was not sent yet. */
  put(status: CommitStatus & { readonly now: Timestamp }): Promise<void>;
  /** When the next status is to be sent (again). */
  nextDueAt(): Promise<Timestamp | undefined>;
}
