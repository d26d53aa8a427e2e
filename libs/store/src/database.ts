import { mkdir } from 'node:fs/promises';
import { PGlite } from '@electric-sql/pglite';
import { drizzle as drizzlePglite } from 'drizzle-orm/pglite';
import { drizzle as drizzlePostgres } from 'drizzle-orm/postgres-js';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import postgres from 'postgres';
import type { StoreTarget } from './store.ts';
import { lockFolder } from './folder-lock.ts';

/** A database or a transaction in it, of either driver. */
export type Database = PgDatabase<PgQueryResultHKT>;

/** What differs between the drivers. */
export interface Connection {
  readonly db: Database;
  /** Calls back with the payload of each NOTIFY on `channel` until disposed. */
  listen(channel: string, onPayload: (payload: string) => void): Promise<AsyncDisposable>;
  close(): Promise<void>;
}

/** Longer than any statement here takes; a server that hangs is then taken for one that is away. */
const STATEMENT_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_S = 10;
/** On close, running statements get this long. */
const END_TIMEOUT_S = 5;

/** Opens the driver. Postgres connects with the first statement. */
export async function connect(target: StoreTarget): Promise<Connection> {
  return target.kind === 'pglite' ? await openPglite(target.dataDir) : openPostgres(target.url, target.maxConnections ?? 10);
}

async function openPglite(dataDir: string | undefined): Promise<Connection> {
  await using opening = new AsyncDisposableStack();
  if (dataDir !== undefined) {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    opening.use(await lockFolder(dataDir));
  }
  const client = await PGlite.create(dataDir === undefined ? {} : { dataDir });
  opening.defer(async () => await client.close());
  const held = opening.move();
  return {
    db: drizzlePglite({ client }),
    async listen(channel, onPayload) {
      const stop = await client.listen(channel, onPayload);
      return { [Symbol.asyncDispose]: async () => await (client.closed ? undefined : stop()) };
    },
    close: async () => await held.disposeAsync(),
  };
}

function openPostgres(url: string, maxConnections: number): Connection {
  const { address, socketFolder } = splitSocketFolder(url);
  const client = postgres(address, {
    ...(socketFolder === undefined ? {} : { host: socketFolder }),
    max: maxConnections,
    connect_timeout: CONNECT_TIMEOUT_S,
    connection: { application_name: 'floe', statement_timeout: STATEMENT_TIMEOUT_MS, idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS },
    onnotice: () => undefined,
  });
  return {
    db: drizzlePostgres({ client }),
    async listen(channel, onPayload) {
      const { unlisten } = await client.listen(channel, onPayload);
      return { [Symbol.asyncDispose]: async () => await unlisten().catch(() => undefined) };
    },
    close: async () => await client.end({ timeout: END_TIMEOUT_S }),
  };
}

/** `postgres:///floe?host=/run/postgresql`, as libpq writes a unix socket; postgres.js takes the folder as an option. */
function splitSocketFolder(url: string): { readonly address: string; readonly socketFolder: string | undefined } {
  const parsed = new URL(url);
  const socketFolder = parsed.searchParams.get('host') ?? undefined;
  parsed.searchParams.delete('host');
  return { address: parsed.href, socketFolder };
}
