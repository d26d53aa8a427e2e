import { MAX_STORE_PATH_CHARACTERS } from '@floe/model';
import * as v from 'valibot';
import { ByteSize, Counter, DurationMs, foreign, list, prose, Timestamp, word } from './bounds.ts';

/** So many paths an answer names. */
export const MAX_NAMED_PATHS = 5_000;

const CachePath = word(MAX_STORE_PATH_CHARACTERS);

/** `POST /api/cache/gc`. `unusedForMs`: only what nobody has needed for so long. */
export const CollectRequest = foreign(
  v.strictObject({ dryRun: v.boolean(), unusedForMs: v.optional(v.pipe(DurationMs, v.integer())), reason: v.optional(v.pipe(prose(500), v.trim())) }),
);
export type CollectRequest = v.InferOutput<typeof CollectRequest>;

/** What was removed from the cache, or would be. */
export const CacheCollected = v.object({
  isDryRun: v.boolean(),
  /** The first of them, in the order of removal. `usedAt`: when it was published, or needed last. */
  removed: list(v.object({ path: CachePath, usedAt: Timestamp, bytes: ByteSize }), MAX_NAMED_PATHS),
  removedCount: Counter,
  removedBytes: ByteSize,
  /** Files that belonged to no path. */
  leftovers: Counter,
  leftoverBytes: ByteSize,
  /** What is left, and so many of it are needed. */
  kept: Counter,
  keptBytes: ByteSize,
  needed: Counter,
  /** Paths that are needed, and lack something. */
  incomplete: list(CachePath, MAX_NAMED_PATHS),
  unreadable: list(word(256), MAX_NAMED_PATHS),
  /** Hosts download from here, where nothing was removed; null: from the server's own cache. */
  elsewhere: v.nullable(prose(2048)),
});
export type CacheCollected = v.InferOutput<typeof CacheCollected>;
