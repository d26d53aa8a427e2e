import type { CommitSha } from '@floe/model';
import type { PathChange } from './path-changes.ts';

/** What a look at the tracked branch brought. */
export type FetchOutcome =
  /** The branch is where it was accepted. */
  | { readonly kind: 'unchanged'; readonly head: CommitSha }
  /** The branch only gained commits since `from`, `count` of them; from undefined is the first fetch. */
  | {
      readonly kind: 'advanced';
      readonly head: CommitSha;
      readonly from: CommitSha | undefined;
      readonly count: number;
    }
  /**
   * The branch lost the accepted commit: a force-push. It is held: the mirror's branch stays where it is, `head` and
   * its history can be read, and it takes {@link GitMirror.accept} to move on.
   */
  | { readonly kind: 'diverged'; readonly head: CommitSha; readonly accepted: CommitSha };

export interface CommitInfo {
  readonly sha: CommitSha;
  readonly parents: readonly CommitSha[];
  readonly authorName: string;
  readonly authorEmail: string;
  /** The committer's time, in ms since 1970. */
  readonly committedAt: number;
  /** The first line of the message. */
  readonly subject: string;
}

/** The operations of a mirror that are done off the main thread, by their names. */
export interface MirrorOperations {
  fetch(accepted: CommitSha | undefined): Promise<FetchOutcome>;
  accept(sha: CommitSha): Promise<void>;
  commit(sha: CommitSha): Promise<CommitInfo>;
  changedPaths(from: CommitSha | undefined, to: CommitSha): Promise<PathChange[]>;
  readFile(sha: CommitSha, path: string): Promise<string | undefined>;
}
