import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { storeHash } from '@floe/model';
import { askingReleaser, rebuildFromStatements, type Builder, type PublicKeys, type StatementLog } from '@floe/pipeline';
import { FloeError, type Clock, type Logger } from '@floe/runtime';
import type { PlainStore } from '@floe/store';

/** A lease is renewed every ten seconds. */
const SILENT_AFTER_MS = 60_000;
const LOOK_MS = 10_000;

export interface SeparateBuilderDeps {
  readonly keys: PublicKeys;
  /** The folder of the builder's cache, if this server serves it. */
  readonly cacheDir: string | undefined;
  readonly store: PlainStore;
  readonly statements: StatementLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Refuses a release key that lies where this server can read it: then it could sign releases, whatever the settings say. */
export async function refuseReleaseKey(path: string): Promise<void> {
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  throw new FloeError(
    'KEYS_OF_BUILDER',
    `FLOE_BUILDER_KEYS_FILE is set, and this server has a release key in ${path}: move it, with cache.secret beside it, into keys/ of the builder's data folder`,
  );
}

/** What a server has of a builder that is a process of its own: public keys, and the database between them. */
export function separateBuilder({ keys, cacheDir, store, statements, clock, logger }: SeparateBuilderDeps): Builder {
  let repositoryId = '';
  return {
    releaser: askingReleaser({ store, keys: keys.releaseKeys, repositoryId: () => repositoryId, clock, logger }),
    cachePublicKeys: keys.cachePublicKeys,
    // Enrolments, renames and revocations are in the server's log; releases in the builder's.
    async rebuild(repository, serverKeys) {
      repositoryId = repository.id;
      return await rebuildFromStatements({ store, clock, statements, releaseKeys: keys.releaseKeys, serverKeys, logger }, repository);
    },
    async keepInCache(toplevel) {
      if (cacheDir === undefined) return true;
      return await access(join(cacheDir, `${storeHash(toplevel)}.narinfo`)).then(
        () => true,
        () => false,
      );
    },
    collectCache: async () =>
      await Promise.reject(
        new FloeError(
          'CACHE_OF_BUILDER',
          "the cache is the builder's, which tidies it every hour by its own settings: set FLOE_CACHE_KEEP_DAYS or FLOE_CACHE_MAX_GIB for floe-builder, and restart it",
        ),
      ),
    /** Nothing of it runs here: only whether one works is looked at, and what they have to tell. */
    async run({ onSilence, onBuilderNotices }, id, signal) {
      let seenAt = clock.monotonic();
      let seen: string | undefined;
      while (!signal.aborted) {
        try {
          const lease = await store.repositories.lease(id);
          const renewed = lease && `${lease.owner} ${lease.expiresAt}`;
          // Its time is by the clock of the database's machine, which may be another one than here.
          if (renewed !== undefined && renewed !== seen) seenAt = clock.monotonic();
          seen = renewed;
          onSilence(
            clock.monotonic() - seenAt > SILENT_AFTER_MS
              ? 'no builder works on the repository: commits wait until floe-builder runs with this database; look at its log, on its machine'
              : undefined,
          );
          onBuilderNotices(await store.repositories.noticesOfBuilders(id));
        } catch (error) {
          logger.debug('the builder was not looked at', { error });
        }
        await clock.sleep(LOOK_MS, signal);
      }
    },
  };
}
