import { storeHash } from '@floe/model';
import { FloeError } from '@floe/runtime';
import { isSignedBy, MAX_NARINFO_BYTES, parseNarinfo, type Narinfo } from '../narinfo.ts';
import type { CacheErrorCode, CacheFiles } from './cache-files.ts';
import { inParallel } from './in-parallel.ts';

/** What one cache has of a path. */
export type Found = { readonly kind: 'whole'; readonly entry: Narinfo } | { readonly kind: 'missing' | 'unsigned'; readonly why: string };

export interface ReadOptions {
  /** `name:base64`: every path must be signed by one of them. */
  readonly publicKeys: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

const AT_ONCE = 32;
const REMOVE = 'remove it from the cache, and it is published again';
/** More than the closures of a thousand hosts have together. */
const MAX_PATHS = 1_000_000;

/** Whether a cache has a path as hosts need it: a narinfo about this path, signed by one of the keys, and the file with its content. */
export async function findPath(files: CacheFiles, storePath: string, { publicKeys }: ReadOptions): Promise<Found> {
  const hash = storeHash(storePath);
  const text = await files.readText(`${hash}.narinfo`, MAX_NARINFO_BYTES);
  if (text === undefined) return { kind: 'missing', why: `lacks ${storePath}` };
  const entry = parseNarinfo(text, hash);
  if (entry?.storePath !== storePath) return { kind: 'unsigned', why: `says of ${storePath} what is no narinfo of it; ${REMOVE}` };
  if (!isSignedBy(entry, publicKeys)) {
    const names = publicKeys.map((key) => key.split(':', 1)[0]).join(' and ');
    return { kind: 'unsigned', why: `holds ${storePath}, which ${names} did not sign; ${REMOVE}` };
  }
  const size = await files.sizeOf(entry.url);
  if (size === undefined) return { kind: 'missing', why: `has the narinfo of ${storePath}, but not its content` };
  if (size !== 'unknown' && entry.fileSize !== undefined && size !== entry.fileSize)
    return { kind: 'missing', why: `has ${size} bytes of the content of ${storePath}, of ${entry.fileSize}` };
  return { kind: 'whole', entry };
}

/**
 * Reads the closures of `tops` as hosts will that download from `caches`, the first of them that has a path. Throws CACHE_PATH_MISSING and
 * CACHE_PATH_UNSIGNED about one path of them, and what the caches throw.
 */
export async function readClosures(
  caches: readonly CacheFiles[],
  tops: readonly string[],
  options: ReadOptions,
): Promise<ReadonlyMap<string, Narinfo>> {
  const entries = new Map<string, Narinfo>();
  const seen = new Set(tops);
  let layer: readonly string[] = [...seen];
  while (layer.length > 0) {
    const found = await inParallel(AT_ONCE, layer, async (path) => await findFirst(caches, path, options));
    const next: string[] = [];
    for (const entry of found) {
      entries.set(entry.storePath, entry);
      for (const each of entry.references) {
        if (seen.has(each)) continue;
        seen.add(each);
        next.push(each);
      }
    }
    if (seen.size > MAX_PATHS) throw new FloeError('CACHE_FOREIGN', `the closures have more than ${MAX_PATHS} paths`, { retryable: true });
    layer = next;
  }
  return entries;
}

async function findFirst(caches: readonly CacheFiles[], path: string, options: ReadOptions): Promise<Narinfo> {
  const failed: { code: CacheErrorCode; why: string }[] = [];
  for (const cache of caches) {
    if (options.signal?.aborted === true) throw new FloeError('NIX_STOPPED', 'reading back from the cache was stopped', { retryable: true });
    const found = await findPath(cache, path, options);
    if (found.kind === 'whole') return found.entry;
    const code = found.kind === 'missing' ? 'CACHE_PATH_MISSING' : 'CACHE_PATH_UNSIGNED';
    failed.push({ code, why: `the cache ${cache.place} ${found.why}` });
  }
  // An unsigned copy has to be removed first, so it is named before a missing one.
  const { code, why } = failed.find((each) => each.code === 'CACHE_PATH_UNSIGNED') ?? failed[0] ?? { code: 'CACHE_PATH_MISSING', why: path };
  throw new FloeError(code, why, { retryable: code === 'CACHE_PATH_MISSING', data: { path } });
}
