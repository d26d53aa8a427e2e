import type { HostName, StorePath, SubmissionState } from '@floe/model';
import type { Timestamp } from './timestamp.ts';

/** A store path that an administrator had a host pinned to: the newest of each host, also after its end. */
export interface Submission {
  readonly id: string;
  readonly repositoryId: string;
  readonly host: HostName;
  readonly toplevel: StorePath;
  readonly by: string;
  readonly reason: string;
  readonly at: Timestamp;
  /** When the pin ends by itself. */
  readonly expiresAt?: Timestamp | undefined;
  readonly state: SubmissionState;
  readonly endedAt?: Timestamp | undefined;
  /** Why it was not taken; while it waits, the last error. */
  readonly result: string;
}
