import type { BuilderNoticeStore } from './builder-notice-contract.ts';
import type { CommitSha, HeldCommit } from '@floe/model';
import type { Lease, Repository, Timestamp } from './records.ts';

type Held = Pick<HeldCommit, 'commit' | 'reason' | 'cause'>;

/** A repository whose branch is set. */
export interface FollowedRepository extends Repository {
  /** What the branch was called before, when that has just changed. */
  readonly formerBranch?: string | undefined;
}

export interface RepositoryStore extends BuilderNoticeStore {
  /** The repository's row, made on first use. With another branch than before it is the same row, with its hosts, under the new name. */
  ensure(repository: { readonly url: string; readonly branch: string; readonly now: Timestamp }): Promise<FollowedRepository>;
  /**
   * The row of this repository that has hosts, else that of the branch that was followed last; where there is none, one is made. The branch of a
   * row that was never fetched is not known (`''`).
   */
  ensureDefault(repository: { readonly url: string; readonly now: Timestamp }): Promise<Repository>;
  /**
   * Gives the repository that has hosts this address, unless hosts are known under it. Resolves to the address before; undefined: nothing was
   * to be moved.
   */
  moveAddress(url: string): Promise<string | undefined>;
  /** Gives a row its branch, once: false when it has one. A row of that branch becomes the one without a branch. */
  nameBranch(id: string, branch: string): Promise<boolean>;
  get(id: string): Promise<Repository>;
  /** Says "look again" to whoever works on the repository. */
  wake(id: string): Promise<void>;
  /**
   * `owner` holds the repository's lease for `leaseMs` by the clock of the database, if it was free, expired or its own: resolves to the token of this
   * claim, for `underLease`. Each claim has a higher one. Undefined: somebody else holds it. Throws `FloeError('STORE_TOO_NEW')` once a newer Floe has
   * migrated the database.
   */
  claim(id: string, owner: string, leaseMs: number): Promise<number | undefined>;
  /** Prolongs it; false: somebody has claimed it since, or it was given back. */
  renew(lease: Lease, owner: string, leaseMs: number): Promise<boolean>;
  /** Who holds the lease, and until when by the clock of the database; undefined: nobody does. It may be over. */
  lease(id: string): Promise<{ readonly owner: string; readonly expiresAt: Timestamp } | undefined>;
  /** Gives the lease back, if it is still `owner`'s. */
  unclaim(id: string, owner: string): Promise<void>;
  /**
   * What a fetch came to. Without `problem` the fetch worked: the problem ends, and so does `held` unless given again, or it is that of `stays`.
   * With a `problem` a held commit stays, since nothing was learned about it. A repeat keeps its `since`.
   */
  recordFetch(
    id: string,
    outcome: {
      readonly now: Timestamp;
      readonly problem?: { readonly code: string; readonly message: string } | undefined;
      readonly held?: Held | { readonly stays: CommitSha } | undefined;
    },
  ): Promise<void>;
  /** A commit that was taken in waits for an administrator; undefined: none does any more. A repeat keeps its `since`. */
  hold(id: string, held: Held | undefined, now: Timestamp): Promise<void>;
  /** What would make things better, for people; undefined: nothing any more. Tells when that is news. */
  noteAdvice(id: string, advice: string | undefined): Promise<void>;
  /**
   * Somebody accepts a held commit, for the reason for which it is held now. `seen`: what that person saw, or its beginning. Wakes the repository.
   * False, and nothing is changed: it is not held, or for another reason than was seen.
   */
  allow(id: string, commit: CommitSha, seen?: string): Promise<boolean>;
  /** Sets the accepted commit. */
  accept(id: string, commit: CommitSha): Promise<void>;
  /** The sequence becomes at least this. */
  raiseSequence(id: string, atLeast: number): Promise<void>;
}
