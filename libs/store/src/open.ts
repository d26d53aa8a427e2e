import { FloeError, type Clock, type Logger } from '@floe/runtime';
import type { Store, StoreTarget } from './store.ts';

export interface StoreDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The folder `migrations/` of this Floe. */
  readonly migrationsDir: string;
}

/**
 * Opens the database and brings it to this version's tables. Throws `FloeError('STORE_UNREACHABLE')` (retryable: try
 * again) and `FloeError('STORE_TOO_NEW')` when a newer Floe migrated it before.
 */
export async function openStore(target: StoreTarget, deps: StoreDeps): Promise<Store> {
  await Promise.resolve([target, deps]);
  throw new FloeError('STORE_UNREACHABLE', 'not there yet', { retryable: true });
}
