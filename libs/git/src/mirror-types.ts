import type { CommitSha, NodeChange } from '@floe/model';
import type { PathChange } from './path-changes.ts';
import type { SelfMention } from './self-mentions.ts';

/** The result of a look at the tracked branch. */
export type FetchOutcome =
  /** The branch still points at the accepted commit. */
  | { readonly kind: 'unchanged'; readonly head: CommitSha }
  /** The branch only gained commits since `from`; undefined: the first fetch. */
  | { readonly kind: 'advanced'; readonly head: CommitSha; readonly from: CommitSha | undefined }
  /**
   * The branch lost the accepted commit: a force-push. It is held: the mirror's branch does not move until {@link
   * GitMirror.accept}, while `head` and its history can be read. `isUncertain`: the search for the accepted commit stopped at its
   * limit.
   */
  | { readonly kind: 'diverged'; readonly head: CommitSha; readonly accepted: CommitSha; readonly isUncertain?: boolean };

export interface CommitInfo {
  readonly sha: CommitSha;
  readonly parents: readonly CommitSha[];
  readonly authorName: string;
  readonly authorEmail: string;
  /** The committer's time, in ms since 1970; 0 when the commit has none, at most the year 9999. */
  readonly committedAt: number;
  /** The first paragraph of the message as one line. This text and the names are safe to show, and short. */
  readonly subject: string;
  /** Why Nix can evaluate no host at this commit, although git accepts it. */
  readonly problem: string | undefined;
}

/** What a signature is of, and the signature, armored. */
export interface SignedParts {
  /** The commit without its signature. */
  readonly payload: Uint8Array;
  /** Undefined: it has none, or several, or none of the kind that repositories of this format have. */
  readonly signature: string | undefined;
}

/** Content that does not match the file's name: a Git LFS pointer, or the output of an encrypting git filter. */
export type OpaqueKind = 'lfs' | 'git-crypt' | 'encrypted';
export interface OpaqueFile {
  readonly path: string;
  readonly kind: OpaqueKind;
}

/** The result of inspecting all files of a commit. Paths are as in git: pass them through {@link shownText} before showing them. */
export interface TreeReport {
  /** Why the commit must not be used. */
  readonly problem: string | undefined;
  readonly opaque: readonly OpaqueFile[];
  /** False when there are more than the listed ones. */
  readonly isComplete: boolean;
  /** Paths of submodules, which are empty folders for Nix. */
  readonly submodules: readonly string[];
}

/** The commit of a submodule, at its path from the root of the repository. */
export interface SubmoduleCommit {
  readonly path: string;
  readonly sha: CommitSha;
}

/** The progress of a fetch. */
export interface FetchProgress {
  /** Bytes received so far; the server does not send a total. */
  readonly receivedBytes: number;
  /** After the pack arrived: how many of its objects were checked, and how many there are. */
  readonly objects: number;
  readonly totalObjects: number;
}

/** The branches in a folder of the repository's branches, as its server lists them. */
export interface BranchList {
  readonly branches: readonly { readonly name: string; readonly head: CommitSha }[];
  /** False: there are more. */
  readonly isComplete: boolean;
}

/** The operations of a mirror that run in the worker thread, by name. */
export interface MirrorOperations {
  fetch(accepted: CommitSha | undefined, token: string | undefined): Promise<FetchOutcome>;
  branches(folder: string, token: string | undefined): Promise<BranchList>;
  defaultBranch(token: string | undefined): Promise<string>;
  accept(sha: CommitSha): Promise<void>;
  commit(sha: CommitSha): Promise<CommitInfo>;
  head(): Promise<CommitSha | undefined>;
  contains(sha: CommitSha, earlier: CommitSha): Promise<boolean | 'unknown'>;
  changedPaths(from: CommitSha | undefined, to: CommitSha): Promise<PathChange[] | 'unknown'>;
  changedNodes(from: CommitSha, to: CommitSha): Promise<NodeChange[] | 'unknown'>;
  newCommits(from: CommitSha, to: CommitSha, most: number): Promise<readonly CommitSha[] | 'unknown' | 'too-many'>;
  signedParts(sha: CommitSha): Promise<SignedParts>;
  inspect(sha: CommitSha): Promise<TreeReport>;
  without(sha: CommitSha, paths: readonly string[]): Promise<CommitSha>;
  probeCommit(sha: CommitSha, withFile: boolean): Promise<CommitSha>;
  selfMentions(sha: CommitSha): Promise<readonly SelfMention[]>;
  wholeCommit(sha: CommitSha, submodules: readonly SubmoduleCommit[], from: string): Promise<CommitSha>;
  treeCommit(sha: CommitSha, ignored: readonly string[]): Promise<CommitSha>;
}
