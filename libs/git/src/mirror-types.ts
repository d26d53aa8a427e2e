import type { CommitSha } from '@floe/model';
import type { PathChange } from './path-changes.ts';

/** What a look at the tracked branch brought. */
export type FetchOutcome =
  /** The branch is where it was accepted. */
  | { readonly kind: 'unchanged'; readonly head: CommitSha }
  /** The branch only gained commits since `from`; from undefined is the first fetch. */
  | { readonly kind: 'advanced'; readonly head: CommitSha; readonly from: CommitSha | undefined }
  /**
   * The branch lost the accepted commit: a force-push. It is held: the mirror's branch stays where it is, `head` and
   * its history can be read, and it takes {@link GitMirror.accept} to move on. `isUncertain`: there are so many commits
   * between the two that the accepted one was not looked for any further.
   */
  | { readonly kind: 'diverged'; readonly head: CommitSha; readonly accepted: CommitSha; readonly isUncertain?: boolean };

export interface CommitInfo {
  readonly sha: CommitSha;
  readonly parents: readonly CommitSha[];
  readonly authorName: string;
  readonly authorEmail: string;
  /** The committer's time, in ms since 1970; 0 when the commit has none, and never beyond the year 9999. */
  readonly committedAt: number;
  /** The first paragraph of the message in one line. This and the names are harmless to show, and not long. */
  readonly subject: string;
  /** Why no host can be evaluated at this commit, though git itself takes it. */
  readonly problem: string | undefined;
}

/** Content that is not what the file's name says: a pointer of Git LFS, or what a filter of git has encrypted. */
export type OpaqueKind = 'lfs' | 'git-crypt' | 'encrypted';
export interface OpaqueFile {
  readonly path: string;
  readonly kind: OpaqueKind;
}

/** What a look at all files of a commit found. Paths are as git has them: {@link shownText} before they are shown. */
export interface TreeReport {
  /** Why nothing may be done with the commit. */
  readonly problem: string | undefined;
  readonly opaque: readonly OpaqueFile[];
  /** False when there are more than are listed. */
  readonly isComplete: boolean;
  /** Paths that are other repositories: empty folders to Nix. */
  readonly submodules: readonly string[];
}

/** How far a fetch is. */
export interface FetchProgress {
  /** What came so far; the server does not say how much there is. */
  readonly receivedBytes: number;
  /** Of the pack, once it is here whole: how many objects were looked at, and how many there are. */
  readonly objects: number;
  readonly totalObjects: number;
}

/** The operations of a mirror that are done off the main thread, by their names. */
export interface MirrorOperations {
  fetch(accepted: CommitSha | undefined, token: string | undefined): Promise<FetchOutcome>;
  accept(sha: CommitSha): Promise<void>;
  commit(sha: CommitSha): Promise<CommitInfo>;
  changedPaths(from: CommitSha | undefined, to: CommitSha): Promise<PathChange[] | 'unknown'>;
  inspect(sha: CommitSha): Promise<TreeReport>;
  without(sha: CommitSha, paths: readonly string[]): Promise<CommitSha>;
  readFile(sha: CommitSha, path: string): Promise<string | undefined>;
}
