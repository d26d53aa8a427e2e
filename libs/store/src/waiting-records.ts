import type { CommitSha } from '@floe/model';

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
