import type { HostName } from '@floe/model';
import type { AuditEntry, NewRelease } from './records.ts';
import type { Submission } from './submission-records.ts';
import type { Timestamp } from './timestamp.ts';

export interface SubmissionStore {
  /** Replaces an earlier one of the host, which comes to nothing if it still waits. Wakes the repository's worker. */
  request(submission: Pick<Submission, 'repositoryId' | 'host' | 'toplevel' | 'by' | 'reason' | 'at' | 'expiresAt'>): Promise<Submission['id']>;
  /** Those that wait, the oldest first. */
  waiting(repositoryId: string): Promise<readonly Submission[]>;
  /** Of one that waits: what went wrong, while it is tried again. */
  note(id: string, result: string): Promise<void>;
  /** It comes to nothing. False: it does not wait any more. */
  fail(id: string, result: string, at: Timestamp, entry: AuditEntry): Promise<boolean>;
  /** The host follows something else: one that waits comes to nothing. False: none waited. */
  cancel(host: HostName, result: string, at: Timestamp): Promise<boolean>;
  /** The sequence of its release: above all that were used so far, and the same for each call. Undefined: it does not wait any more. */
  number(id: string): Promise<number | undefined>;
  /** Stores the release, apart from the fleet's, and pins the host to it. False: it does not wait any more. */
  finish(id: string, release: NewRelease, at: Timestamp, entry: AuditEntry): Promise<boolean>;
}
