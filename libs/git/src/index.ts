export type { GitError, GitErrorCode } from './errors.ts';
export { DEFAULT_REPOSITORY_LIMITS, type RepositoryLimits } from './limits.ts';
export * from './mirror.ts';
export type { CommitInfo, FetchOutcome, FetchProgress } from './mirror-types.ts';
export type { PathChange } from './path-changes.ts';
export { parseBranchName, parseRepositoryUrl } from './repository-url.ts';
