import { isFloeError, type Clock, type Logger } from '@floe/runtime';
import type { Store } from '@floe/store';

const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;
/** Long after a forge gave up on repeating a delivery. */
const KEEP_DELIVERIES_MS = 30 * DAY_MS;
/** What the page and `floe hosts NAME` look back on; each host's newest report stays for ever. */
const KEEP_REPORTS_MS = 90 * DAY_MS;

/** Forgets what nobody looks at any more, every hour until `signal` aborts. */
export async function keepHouse(
  { store, clock, logger }: { readonly store: Store; readonly clock: Clock; readonly logger: Logger },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const deliveries = await store.deliveries.prune(clock.now() - KEEP_DELIVERIES_MS);
      const reports = await store.reports.prune(clock.now() - KEEP_REPORTS_MS);
      const sessions = await store.tokens.pruneSessions(clock.now());
      if (deliveries + reports + sessions > 0) logger.info('old rows were removed', { deliveries, reports, sessions });
    } catch (error) {
      if (!isFloeError(error) || !error.retryable) throw error;
      logger.debug('housekeeping waits for the database', { error });
    }
    await clock.sleep(HOUR_MS, signal);
  }
}
