import type { CommitSha, HostName } from './brands.ts';
import type { NoTrial } from './may-try.ts';

/** The state of the head of a branch `testing/<host>`. */
export type TestingNews =
  | { readonly kind: 'working' }
  | { readonly kind: 'trying'; readonly endsAt: number }
  /** Its trial has ended, in the words of the machine or of who ended it. */
  | { readonly kind: 'over'; readonly result: string }
  | { readonly kind: 'failed'; readonly result: string }
  /** The commit cannot be evaluated or built for the host. */
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'no-trial'; readonly because: NoTrial }
  /** It does not contain the newest commit of the tracked branch. */
  | { readonly kind: 'not-on-top'; readonly tracked: CommitSha; readonly branch: string }
  | { readonly kind: 'too-late' }
  | { readonly kind: 'replaced' | 'gone' };

/** A branch in the folder of testing branches whose name is of no host that is known. */
export interface NoTestingHost {
  readonly kind: 'no-host';
  /** What follows `testing/`: anything that git allows. */
  readonly name: string;
}

/** Who is to try a commit, and its result. */
export type TestingStatus = NoTestingHost | (TestingNews & { readonly host: HostName });
