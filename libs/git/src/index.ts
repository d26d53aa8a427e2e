export type { GitError, GitErrorCode } from './errors.ts';
export * from './mirror.ts';
export type { CommitInfo, FetchOutcome } from './mirror-types.ts';
export type { PathChange } from './path-changes.ts';
