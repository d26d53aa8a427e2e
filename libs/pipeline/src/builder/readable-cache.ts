import type { StorePath } from '@floe/model';
import { hasPath, readBack, type ReadableCache } from '@floe/nix';
import { isFloeError, type Clock } from '@floe/runtime';
import type { CacheTarget } from '../deps.ts';
import type { BuilderConfig } from './builder-config.ts';

type Config = Pick<BuilderConfig, 'cacheDir' | 'publish'>;

const NOT_THERE: ReadonlySet<string> = new Set(['CACHE_PATH_MISSING', 'CACHE_PATH_UNSIGNED', 'CACHE_PATH_REFUSED']);

/** A person waits for the answer, or a commit. */
const ASK_MS = 15_000;
/** What was there is not asked for again so soon, and what does not answer is left alone. */
const AGAIN_MS = 3600_000;
const AWAY_MS = 60_000;

/** Where hosts download from, by the settings. */
export function readableCache({ cacheDir, publish: { urls, publicKeys } }: Config, ownKey: string): ReadableCache {
  return { urls: urls.length === 0 ? [`file://${cacheDir}`] : urls, publicKeys: [ownKey, ...publicKeys] };
}

/** Whether hosts find a system, with all that it needs, in a cache elsewhere. One that does not answer may have it: then they wait for it, too. */
export async function hasWholeClosure(config: Config, ownKey: string, toplevel: StorePath): Promise<boolean> {
  if (config.publish.method === undefined) return false;
  try {
    await readBack(readableCache(config, ownKey), [toplevel], { signal: AbortSignal.timeout(ASK_MS) });
    return true;
  } catch (error) {
    if (!isFloeError(error)) throw error;
    return !NOT_THERE.has(error.code);
  }
}

/** As `hasElsewhere` of {@link CacheTarget}: of each system once an hour. A cache that does not answer may have all. */
export function hasElsewhere(config: Config, ownKey: string, clock: Pick<Clock, 'monotonic'>): CacheTarget['hasElsewhere'] {
  if (config.publish.method === undefined) return undefined;
  const seen = new Map<StorePath, number>();
  let awayUntil = Number.NEGATIVE_INFINITY;
  return async (toplevel) => {
    const now = clock.monotonic();
    if (now < awayUntil || now - (seen.get(toplevel) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) return true;
    try {
      const isThere = await hasPath(readableCache(config, ownKey), toplevel, { signal: AbortSignal.timeout(ASK_MS) });
      if (isThere) seen.set(toplevel, now);
      else seen.delete(toplevel);
      return isThere;
    } catch (error) {
      if (!isFloeError(error)) throw error;
      if (NOT_THERE.has(error.code)) return false;
      awayUntil = clock.monotonic() + AWAY_MS;
      return true;
    }
  };
}
