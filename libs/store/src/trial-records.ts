import type { CommitSha, ReleaseRef } from '@floe/model';
import type { Timestamp } from './timestamp.ts';

/** A host's trial: what it is asked to try, by whom, and until when. */
export interface Trial extends ReleaseRef {
  readonly commit: CommitSha;
  /** The release, signed as a test, in JSON. */
  readonly envelope: string;
  readonly by: string;
  readonly reason: string;
  readonly at: Timestamp;
  readonly endsAt: Timestamp;
  /** The host's first epoch that is about it. */
  readonly epoch: number;
}

/** The end of a host's newest trial. */
export interface EndedTrial extends Pick<Trial, 'id' | 'host' | 'commit' | 'by' | 'at'> {
  readonly endedAt: Timestamp;
  /** What the machine said last, or who ended it. */
  readonly result: string;
  /** The machine refused it, or it failed there. */
  readonly hasFailed: boolean;
  readonly isEndLogged: boolean;
}
