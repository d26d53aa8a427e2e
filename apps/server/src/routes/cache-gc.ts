import { CacheCollected, CollectRequest, MAX_NAMED_PATHS } from '@floe/protocol';
import type { Collected } from '@floe/nix';
import type { CollectWhat } from '@floe/pipeline';
import { isFloeError, type Clock } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import { bytesInWords, count, duration } from '@floe/views';
import { Hono } from 'hono';
import type { Auth, AuthEnv } from '../auth.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';

export interface CacheGcDeps {
  readonly auth: Auth;
  readonly store: StorePart<{ audit: 'append' }>;
  readonly clock: Clock;
  /** Removes from the server's own cache what no host needs. */
  readonly collectCache: (what: Pick<CollectWhat, 'isDryRun' | 'unusedForMs'>) => Promise<Collected>;
  /** Where hosts download from, if it is another cache; undefined: from the server's own. */
  readonly cacheElsewhere: string | undefined;
}

/** An administrator makes room in the cache. */
export function cacheGcRoutes({ auth, store, clock, collectCache, cacheElsewhere }: CacheGcDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();

  app.post(
    '/gc',
    auth.requireAction('collect-cache'),
    answers('removes from the cache what no host needs', CacheCollected),
    takes('json', CollectRequest),
    async (c) => {
      const { dryRun: isDryRun, unusedForMs = 0, reason = '' } = c.req.valid('json');
      const limit = unusedForMs === 0 ? '' : `, of what nobody needed for ${duration(unusedForMs)}`;
      const write = async (detail: string): Promise<void> => {
        if (isDryRun) return;
        await store.audit.append({ at: clock.now(), actor: c.var.actor.name, action: 'collect-cache', subject: 'cache', detail });
      };
      // Before anything is gone: the log has it also when the server ends meanwhile.
      await write(`removes what no host needs${limit}${reason === '' ? '' : `: ${reason}`}`);
      let collected: Collected;
      try {
        collected = await collectCache({ isDryRun, unusedForMs });
      } catch (error) {
        if (!isFloeError(error)) throw error;
        await write(`not all of it was removed: ${error.message}`);
        if (error.code === 'CACHE_BUSY' || error.code === 'CACHE_OF_BUILDER') return refuse(c, 409, error.code, error.message);
        throw error;
      }
      const { removed, removedBytes, leftoverBytes } = collected;
      await write(`removed ${count(removed.length, 'path')}, ${bytesInWords(removedBytes + leftoverBytes)}${limit}`);
      const body: CacheCollected = {
        ...collected,
        isDryRun,
        removed: removed
          .slice(0, MAX_NAMED_PATHS)
          .map(({ storePath, usedAt, bytes }) => ({ path: storePath, usedAt: Math.max(0, Math.round(usedAt)), bytes })),
        removedCount: removed.length,
        incomplete: collected.incomplete.slice(0, MAX_NAMED_PATHS),
        unreadable: collected.unreadable.slice(0, MAX_NAMED_PATHS),
        elsewhere: cacheElsewhere ?? null,
      };
      return c.json(body);
    },
  );
  return app;
}
