import type { BranchList, GitMirror } from '@floe/git';
import type { CommitSha, TestingStatus } from '@floe/model';
import type { StorePart } from '@floe/store';

/** What the following of testing branches needs beside the pipeline. */
export interface TestingDeps {
  /** How many are followed; 0: it is off. */
  readonly limit: number;
  /** Lists the branches in a folder, as the git server has them. */
  branches(folder: string, signal: AbortSignal): Promise<BranchList>;
  /** A mirror of one of them, in a folder apart from the tracked branch's. */
  open(branch: string): Promise<GitMirror>;
  /** Shows the result on the commit. It has no store of its own: the one under the lease is given. */
  tell(store: StorePart<{ outbox: 'putAll' }>, commit: CommitSha, status: TestingStatus): Promise<void>;
}
