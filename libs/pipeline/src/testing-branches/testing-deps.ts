import type { BranchList, GitMirror } from '@floe/git';
import type { CommitSha, TestingStatus } from '@floe/model';

/** What the following of testing branches needs beside the pipeline. */
export interface TestingDeps {
  /** How many are followed; 0: it is off. */
  readonly limit: number;
  /** Lists the branches in a folder, as the git server has them. */
  branches(folder: string, signal: AbortSignal): Promise<BranchList>;
  /** A mirror of one of them, in a folder apart from the tracked branch's. */
  open(branch: string): Promise<GitMirror>;
  /** Shows the result on the commit. */
  tell(commit: CommitSha, status: TestingStatus): Promise<void>;
}
