import type { CommitSha, RevisionState } from '@floe/model';

/** A commit of the branch that waits until an older one is finished (SPEC R7). */
export interface WaitsForOlder {
  /** Of the revision that waits. */
  readonly id: string;
  readonly sha: CommitSha;
  /** The older one's. */
  readonly after: CommitSha;
  /** It is its turn then at the latest. */
  readonly until: number;
}

/** A commit that a newer one replaced before any host had a release of it (SPEC R36). */
export interface Replaced {
  /** Of its revision. */
  readonly id: string;
  readonly sha: CommitSha;
  /** The newest commit, and how it failed. */
  readonly after: CommitSha;
  readonly state: RevisionState;
}
