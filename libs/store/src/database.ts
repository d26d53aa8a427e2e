import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { drizzle as drizzlePglite } from 'drizzle-orm/pglite';
import { drizzle as drizzlePostgres } from 'drizzle-orm/postgres-js';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import type { Clock, Logger } from '@floe/runtime';
import { openEmbedded } from './embedded-folder.ts';
import { lockFolder } from './folder-lock.ts';
import { drizzleClient } from './postgres-client.ts';
import type { PostgresAddress } from './postgres-line.ts';
import { PostgresListener } from './postgres-listener.ts';
import { PostgresPool } from './postgres-pool.ts';
import type { Hint, StoreTarget } from './store.ts';
import { vacuumGrown } from './vacuum.ts';

/** A database or a transaction, of either driver. */
export type Database = PgDatabase<PgQueryResultHKT>;

/** The differences between the drivers. */
export interface Connection {
  readonly db: Database;
  /** What `work` asks does not wait behind what the server does by itself, where there are several connections. */
  readonly forPeople: <Result>(work: () => Promise<Result>) => Promise<Result>;
  /** The same database, for statements without the usual time limit. */
  readonly patientDb: Database;
  /** Calls back with the payload of each NOTIFY until disposed. */
  listen(onPayload: (payload: string) => void): Promise<AsyncDisposable>;
  /** Reclaims the space of deleted rows, where the database does not do so itself. */
  readonly tidy: () => Promise<void>;
  /** True when notifications were found not to arrive. */
  isDeaf(): boolean;
  close(): Promise<void>;
}

/** The one channel of all hints. */
export const CHANNEL = 'floe';

/** Hints that are not urgent, and are sent without the listener. */
const LOOK_EVERYWHERE = JSON.stringify([{ topic: 'host', host: '*' }, { topic: 'outbox' }] satisfies Hint[]);

/** How long running statements may take after close. */
const CLOSE_GRACE_MS = 5_000;

interface ConnectDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Opens the driver. Postgres connects with the first statement. */
export async function connect(target: StoreTarget, deps: ConnectDeps): Promise<Connection> {
  return target.kind === 'pglite' ? await openPglite(target) : openPostgres(target.url, target.maxConnections ?? 10, deps);
}

async function openPglite({ dataDir, image }: Extract<StoreTarget, { kind: 'pglite' }>): Promise<Connection> {
  await using opening = new AsyncDisposableStack();
  if (dataDir !== undefined) {
    await mkdir(dirname(dataDir), { recursive: true, mode: 0o700 });
    opening.use(await lockFolder(dataDir));
  }
  const client = await (dataDir === undefined ? PGlite.create(image === undefined ? {} : { loadDataDir: image }) : openEmbedded(dataDir));
  opening.defer(async () => await client.close());
  const held = opening.move();
  const db = drizzlePglite({ client });
  return {
    db,
    // There is one connection, and whoever asks waits for it.
    forPeople: async (work) => await work(),
    patientDb: db,
    tidy: async () => await vacuumGrown(db),
    async listen(onPayload) {
      const stop = await client.listen(CHANNEL, onPayload);
      return { [Symbol.asyncDispose]: async () => await (client.closed ? undefined : stop()) };
    },
    isDeaf: () => false,
    close: async () => await held.disposeAsync(),
  };
}

function openPostgres(url: string, maxConnections: number, deps: ConnectDeps): Connection {
  const address = parseAddress(url);
  const pool = new PostgresPool(address, maxConnections);
  const listener = new PostgresListener(address, CHANNEL, {
    ...deps,
    notify: async (payload) =>
      await pool.withLine(
        async (line) => void (await line.run(async (client) => await client.unsafe('select pg_notify($1, $2)', [CHANNEL, payload]))),
      ),
    lookEverywhere: LOOK_EVERYWHERE,
  });
  return {
    db: drizzlePostgres({ client: drizzleClient(pool, undefined) }),
    forPeople: async (work) => await pool.forPeople(work),
    patientDb: drizzlePostgres({ client: drizzleClient(pool, Infinity) }),
    // Postgres' autovacuum does it.
    tidy: async () => await Promise.resolve(),
    listen: async (onPayload) => await listener.add(onPayload),
    isDeaf: () => listener.isDeaf,
    async close() {
      await listener[Symbol.asyncDispose]();
      await pool.close(CLOSE_GRACE_MS);
    },
  };
}

/** `postgres://floe@localhost/floe?host=/run/postgresql`, the libpq notation of a unix socket; postgres.js takes the folder as an option. */
function parseAddress(url: string): PostgresAddress {
  const parsed = new URL(url);
  const socketFolder = parsed.searchParams.get('host') ?? undefined;
  parsed.searchParams.delete('host');
  return { url: parsed.href, socketFolder };
}
