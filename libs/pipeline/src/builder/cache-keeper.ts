import type { Collected } from '@floe/nix';
import { isAboutSubject, type Clock, type Logger, type Troubles } from '@floe/runtime';
import { bytesInWords } from '@floe/views';
import type { CollectWhat } from '../building/collect-cache.ts';

/** Whatever a builder that was killed, or lost the lease, was still publishing has ended by then. */
const FIRST_AFTER_MS = 10 * 60_000;
const EVERY_MS = 3600_000;

/** What the server removes from its cache by itself; both undefined: nothing. */
export interface CacheLimits {
  /** What nobody has needed for so long goes. */
  readonly unusedForMs?: number | undefined;
  /** The oldest of what nobody needs goes until the cache is no larger. */
  readonly maxBytes?: number | undefined;
}

export interface CacheKeeperDeps {
  readonly limits: CacheLimits;
  readonly collectCache: (what: Pick<CollectWhat, 'isDryRun' | 'unusedForMs' | 'maxBytes' | 'confirm' | 'patience' | 'signal'>) => Promise<Collected>;
  /** Throws once another builder may publish to the cache. */
  readonly confirm: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly troubles: Troubles;
  /** All of it is needed, and it is too large; undefined: it is not. */
  readonly onTooLarge: (message: string | undefined) => void;
}

/**
 * Removes every hour from the cache what the settings do not keep, until `signal` aborts. Publications go first: it waits for them. Only the builder
 * that holds the lease does this: another one could remove what the holder's `nix copy` has just left out because it was there.
 */
export async function keepCache(
  { limits, collectCache, clock, logger, troubles, onTooLarge, confirm }: CacheKeeperDeps,
  signal: AbortSignal,
): Promise<void> {
  const { unusedForMs, maxBytes } = limits;
  if (unusedForMs === undefined && maxBytes === undefined) return;
  await clock.sleep(FIRST_AFTER_MS, signal);
  while (!signal.aborted) {
    try {
      await troubles.each(
        'removing what nobody needs from the cache',
        ['server: cache'],
        (subject) => subject,
        async () => {
          const collected = await collectCache({ isDryRun: false, unusedForMs, maxBytes, confirm, patience: signal, signal });
          const { removed, removedBytes, leftoverBytes, keptBytes, incomplete, unreadable } = collected;
          if (removedBytes + leftoverBytes > 0) logger.info('the cache was tidied', { removed: removed.length, bytes: removedBytes + leftoverBytes });
          if (incomplete.length + unreadable.length > 0)
            logger.warn('the cache is not whole; floe cache gc --dry-run names what is wrong', {
              incomplete: incomplete.length,
              unreadable: unreadable.length,
            });
          onTooLarge(maxBytes !== undefined && keptBytes > maxBytes ? tooLarge(keptBytes, maxBytes) : undefined);
        },
      );
    } catch (error) {
      if (isAboutSubject(error)) throw error;
      logger.debug('the cache is tidied later', { error });
    }
    await clock.sleep(EVERY_MS, signal);
  }
}

function tooLarge(bytes: number, maxBytes: number): string {
  return `the cache has ${bytesInWords(bytes)}, of ${bytesInWords(maxBytes)} at most (FLOE_CACHE_MAX_GIB), and all of it is needed or was until lately: give it more room, or forget hosts and end pins that nobody needs`;
}
