import type { AcceptedHold, CommitSha, HeldCommit } from '@floe/model';
import type { Timestamp } from './timestamp.ts';

/** A tracked branch of a git repository. */
export interface Repository {
  readonly id: string;
  /** Without credentials. */
  readonly url: string;
  /** `''`: none was set, and the one that its server's HEAD names is not known yet. */
  readonly branch: string;
  /** `refs/heads/<branch>` */
  readonly ref: string;
  /** The newest commit that was taken in. */
  readonly acceptedCommit?: CommitSha | undefined;
  /** The sequence of the newest revision; 0 before the first. Never falls. */
  readonly sequence: number;
  /** Grows with every request to look again: a worker that sees another number than at its start looks once more. */
  readonly hintCount: number;
  /** The last time that a fetch succeeded. */
  readonly lastFetchAt?: Timestamp | undefined;
  readonly problem?: { readonly code: string; readonly message: string; readonly since: Timestamp } | undefined;
  /** What would make things better. Nobody has to do it. */
  readonly advice?: string | undefined;
  /** A head that waits for an administrator. */
  readonly held?: HeldCommit | undefined;
  /** What somebody accepted last of a held commit. */
  readonly allowed?: AcceptedHold | undefined;
}
