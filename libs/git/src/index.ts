export type { GitError, GitErrorCode } from './errors.ts';
export type { SshLogin } from './git-transport.ts';
export { DEFAULT_REPOSITORY_LIMITS, memoryBytes, type RepositoryLimits } from './limits.ts';
export { findDefaultBranch, openMirror, type GitMirror, type MirrorOptions } from './mirror.ts';
export { opaqueKind } from './opaque-kind.ts';
export type {
  BranchList,
  CommitInfo,
  FetchOutcome,
  FetchProgress,
  OpaqueFile,
  OpaqueKind,
  SignedParts,
  SubmoduleCommit,
  TreeReport,
} from './mirror-types.ts';
export { shownText } from './text.ts';
export type { SelfMention } from './self-mentions.ts';
export type { PathChange } from './path-changes.ts';
export { parseBranchName, parseRepositoryUrl } from './repository-url.ts';
export { NOWHERE } from './variant.ts';
