import { fileURLToPath } from 'node:url';
import type { StorePath } from '@floe/model';
import { FloeError, systemClock, withoutTrailingSlashes, type Clock } from '@floe/runtime';
import type { Narinfo } from '../narinfo.ts';
import { FolderFiles, type CacheFiles } from './cache-files.ts';
import { HttpFiles } from './http-files.ts';
import { findPath, readClosures } from './read-closures.ts';

/** A cache as hosts see it. */
export interface ReadableCache {
  /** `file://` of a folder, or where it is served. The first one that has a path counts. */
  readonly urls: readonly string[];
  /** `name:base64`, of which one must have signed each path. */
  readonly publicKeys: readonly string[];
}

export interface PublishedPath {
  /** `sha256:…` in Nix's base 32. */
  readonly narHash: string;
  readonly closureSizeBytes: number;
}

interface ReadBackOptions {
  readonly clock?: Pick<Clock, 'sleep'> | undefined;
  readonly signal?: AbortSignal | undefined;
}

const ADVICE_ON_REFUSAL = 'hosts read it without a login, so everybody on their network must be able to';

/**
 * Reads published paths back, from where hosts download: each path of their closures is there, signed by a key of the cache, and so is the file with
 * its content. The same whatever published them. Throws retryable errors: those of {@link CacheFiles}, CACHE_PATH_MISSING and CACHE_PATH_UNSIGNED.
 */
export async function readBack(
  { urls, publicKeys }: ReadableCache,
  paths: readonly StorePath[],
  options: ReadBackOptions = {},
): Promise<ReadonlyMap<StorePath, PublishedPath>> {
  const caches = await openCaches(urls, options);
  return publishedOf(await readClosures(caches, paths, { publicKeys, signal: options.signal }), paths);
}

/** Whether hosts find a path, which is asked of itself alone and not of what it needs. Throws as {@link readBack} where no cache answers. */
export async function hasPath({ urls, publicKeys }: ReadableCache, path: StorePath, options: ReadBackOptions = {}): Promise<boolean> {
  for (const cache of await openCaches(urls, options)) {
    if ((await findPath(cache, path, { publicKeys })).kind === 'whole') return true;
  }
  return false;
}

async function openCaches(urls: readonly string[], { clock = systemClock, signal }: ReadBackOptions): Promise<readonly CacheFiles[]> {
  const caches: CacheFiles[] = [];
  for (const url of urls) {
    if (url.startsWith('file://')) caches.push(new FolderFiles(fileURLToPath(url.replace(/\?.*/, ''))));
    else {
      const files = new HttpFiles({ url: withoutTrailingSlashes(url), adviceOnRefusal: ADVICE_ON_REFUSAL, clock, signal });
      if (!(await files.hasInfo()))
        throw new FloeError('CACHE_PATH_MISSING', `the cache ${url} has no nix-cache-info: nothing was published there, or it is none`, {
          retryable: true,
        });
      caches.push(files);
    }
  }
  return caches;
}

/** What a release says of each of `tops`. */
function publishedOf(entries: ReadonlyMap<string, Narinfo>, tops: readonly StorePath[]): ReadonlyMap<StorePath, PublishedPath> {
  const published = new Map<StorePath, PublishedPath>();
  for (const top of tops) {
    const entry = entries.get(top);
    if (entry === undefined) continue;
    let closureSizeBytes = 0;
    const seen = new Set<string>([top]);
    for (const path of seen) {
      const each = entries.get(path);
      closureSizeBytes += each?.narSize ?? 0;
      for (const reference of each?.references ?? []) seen.add(reference);
    }
    published.set(top, { narHash: entry.narHash, closureSizeBytes });
  }
  return published;
}
