import type { CommitSha } from '@floe/model';
import type { Delivery, Timestamp } from './records.ts';

export interface DeliveryStore {
  /**
   * Stores a delivery once. One that is 'accepted' for a repository, or of a 'testing-branch', wakes it, in the same transaction; so does a repeat
   * that comes some seconds later, which then counts as received now.
   */
  record(delivery: Delivery): Promise<'stored' | 'duplicate'>;
  /** When the last delivery came that moved the repository to `commit`. */
  latestFor(repositoryId: string, commit: CommitSha): Promise<Timestamp | undefined>;
  /** Who moved the ref to `commit` last, by the login at the forge; undefined: not known. */
  pusherOf(repositoryId: string, ref: string, commit: CommitSha): Promise<string | undefined>;
  /** The last pushes to the tracked branch that a forge told of, newest first. */
  newestPushes(repositoryId: string): Promise<readonly { readonly after: CommitSha | undefined; readonly receivedAt: Timestamp }[]>;
  /** Deletes deliveries received before `before`. Returns the number. */
  prune(before: Timestamp): Promise<number>;
}
