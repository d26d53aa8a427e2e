import type { StorePath } from '@floe/model';

/** Gets what a publication does right now, for people. */
export type OnPublishing = (what: string) => void;

export interface Publishing {
  readonly signal: AbortSignal;
  readonly onProgress?: OnPublishing | undefined;
}

/**
 * Brings closures to where hosts download from. That they got there is not its word, but what is read back (`readBack`). Each publication can be
 * repeated, and copies only what is missing. Throws retryable errors: CACHE_PATH_… and those of a program are about these closures, others about
 * the cache.
 */
export interface Publisher {
  publish(paths: readonly StorePath[], options: Publishing): Promise<void>;
  /** Something that was published is not there any more: what the cache had counts no longer, and is asked for again. */
  forget(): void;
}
