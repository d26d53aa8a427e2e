import { isAboutSubject, type Clock, type Logger, type Troubles } from '@floe/runtime';
import type { Store } from '@floe/store';

const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;
/** Long after a forge gave up on repeating a delivery. */
const KEEP_DELIVERIES_MS = 30 * DAY_MS;
/** What the page and `floe hosts NAME` look back on; each host's newest report stays for ever. */
const KEEP_REPORTS_MS = 90 * DAY_MS;
/** Reports that were set aside are shown on their host for so long. */
const KEEP_REFUSALS_MS = 14 * DAY_MS;

/** Forgets what nobody looks at any more, every hour until `signal` aborts. */
export async function keepHouse(
  { store, clock, logger, troubles }: { readonly store: Store; readonly clock: Clock; readonly logger: Logger; readonly troubles: Troubles },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const now = clock.now();
    const chores: Record<string, () => Promise<number>> = {
      deliveries: async () => await store.deliveries.prune(now - KEEP_DELIVERIES_MS),
      reports: async () => await store.reports.prune(now - KEEP_REPORTS_MS),
      sessions: async () => await store.tokens.pruneSessions(now),
      quarantines: async () => await store.hosts.pruneQuarantines(),
      refusals: async () => await store.hosts.forgetRefusals(now - KEEP_REFUSALS_MS),
    };
    try {
      await troubles.each(
        'removing old rows',
        Object.entries(chores),
        ([table]) => `table ${table}`,
        async ([table, prune]) => {
          const removed = await prune();
          if (removed > 0) logger.info('old rows were removed', { table, removed });
        },
      );
    } catch (error) {
      if (isAboutSubject(error)) throw error;
      logger.debug('housekeeping waits for the database', { error });
    }
    await clock.sleep(HOUR_MS, signal);
  }
}
