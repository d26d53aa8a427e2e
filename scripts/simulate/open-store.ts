import { startPostgres } from '@floe/testkit';
import { DatabaseStore } from './database-store.ts';
import type { FleetStore, FleetStoreOptions } from './fleet-store.ts';

type OpenStore = (options: FleetStoreOptions) => Promise<FleetStore>;

/** By the name that `--store` takes; undefined: in memory, which is the fastest. */
export const STORES = {
  memory: undefined,
  pglite: async (options) => await DatabaseStore.open({ kind: 'pglite', dataDir: undefined }, options),
  postgres: async (options) => {
    await using opening = new AsyncDisposableStack();
    const server = opening.use(await startPostgres());
    const store = opening.use(await DatabaseStore.open({ kind: 'postgres', url: server.url }, options));
    const held = opening.move();
    const { repositoryId } = store;
    return {
      store: store.store,
      repositoryId,
      publish: async (commit, at) => await store.publish(commit, at),
      [Symbol.asyncDispose]: async () => await held.disposeAsync(),
    };
  },
} as const satisfies Readonly<Record<string, OpenStore | undefined>>;

export type StoreName = keyof typeof STORES;

export function isStoreName(name: string): name is StoreName {
  return Object.hasOwn(STORES, name);
}
