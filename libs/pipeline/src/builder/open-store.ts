import { isFloeError, type Clock, type Logger } from '@floe/runtime';
import { openStore, type Store } from '@floe/store';
import type { BuilderConfig } from './builder-config.ts';
import { dataPaths } from './data-paths.ts';

const RETRY_MS = 1_000;
/** Each try takes memory, and space is not freed within a second. */
const FULL_RETRY_MS = 5_000;

/** Waits for the database instead of failing: at boot it often starts later. */
export async function openStoreWhenReady(
  config: Pick<BuilderConfig, 'dataDir' | 'databaseUrl'>,
  deps: { clock: Clock; logger: Logger; migrationsDir: string },
  signal: AbortSignal,
): Promise<Store> {
  const target =
    config.databaseUrl === undefined
      ? ({ kind: 'pglite', dataDir: dataPaths(config.dataDir).database } as const)
      : ({ kind: 'postgres', url: config.databaseUrl.reveal() } as const);
  let said: string | undefined;
  for (;;) {
    try {
      return await openStore(target, deps);
    } catch (error) {
      if (!isFloeError(error) || !error.retryable || signal.aborted) throw error;
      const { message, code } = error;
      // Logged once, not every second.
      if (said !== message) deps.logger.warn(code === 'DISK_FULL' ? message : 'the database does not answer; waiting for it', { error });
      said = message;
      await deps.clock.sleep(code === 'DISK_FULL' ? FULL_RETRY_MS : RETRY_MS, signal);
    }
  }
}
