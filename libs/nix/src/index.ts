export type { BuildResult } from './build.ts';
export { loadOrCreateCacheKey, type CacheKey } from './cache-key.ts';
export type { NixStore } from './command.ts';
export { estimateConcurrency } from './concurrency.ts';
export type { HostEvaluation } from './evaluate.ts';
export type { NixError, NixErrorCode } from './failure.ts';
export { createNix, type Nix } from './nix.ts';
export type { ProfileGeneration } from './profile.ts';
export type { DownloadProgress } from './progress.ts';
