import { PGlite } from '@electric-sql/pglite';
import { silentLogger, systemClock } from '@floe/runtime';
import { startPostgres } from '@floe/testkit';
import { sql, type SQL } from 'drizzle-orm';
import { drizzle as drizzlePglite } from 'drizzle-orm/pglite';
import { drizzle as drizzlePostgres } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import * as v from 'valibot';
import type { Database } from '../database.ts';
import { migrate } from '../migrate.ts';
import { Int8, readRows } from '../rows.ts';
import { TABLE_NAMES } from '../table-names.ts';
import { preparedImage } from './prepared-embedded.ts';
import { MIGRATIONS_DIR } from './test-store.ts';

/** An empty database of this checkout's tables that says how many rows a call looked at: one connection, so that it counts them all. */
export interface CountedDatabase extends AsyncDisposable {
  readonly db: Database;
  /** Rows of tables and entries of indexes that were read while `run` ran, also by foreign keys. */
  rowsRead(run: () => Promise<unknown>): Promise<number>;
  /** How many statements `run` sent; begin and commit are not counted. */
  statements(run: () => Promise<unknown>): Promise<number>;
  /** Takes out the hosts, and what belongs to them and their revisions. */
  empty(): Promise<void>;
  /** Keeps what all tables have now; `restore` puts that in their place again. */
  backUp(): Promise<void>;
  restore(): Promise<void>;
}

const Read = v.object({ rows: Int8 });

class StatementCount {
  sent = 0;
  logQuery(): void {
    this.sent += 1;
  }
}

async function counted(db: Database, logger: StatementCount, close: () => Promise<void>): Promise<CountedDatabase> {
  await migrate(db, { clock: systemClock, logger: silentLogger, migrationsDir: MIGRATIONS_DIR });
  // Of each truncation Postgres tells which tables it cascades to.
  await db.execute(sql`set client_min_messages = warning`);
  async function readSoFar(): Promise<number> {
    await db.execute(sql`select pg_stat_force_next_flush()`);
    const read = await db.execute(sql`
      select coalesce((select sum(seq_tup_read) from pg_stat_user_tables), 0) + coalesce((select sum(idx_tup_read) from pg_stat_user_indexes), 0) as rows`);
    return readRows(Read, read)[0]?.rows ?? 0;
  }
  /** In one statement, and without triggers and foreign keys, so in any order. `%1$I` is the table. */
  async function eachTable(statements: SQL): Promise<void> {
    await db.execute(sql`
      do $each$ declare name text; begin
        set local session_replication_role = replica;
        create schema if not exists backup;
        foreach name in array array[${sql.raw(TABLE_NAMES.map((name) => `'${name}'`).join())}] loop
          execute format('create table if not exists backup.%1$I (like public.%1$I); ${statements}', name);
        end loop;
        set local session_replication_role = default;
      end $each$`);
  }
  return {
    db,
    async rowsRead(run) {
      const before = await readSoFar();
      await run();
      return (await readSoFar()) - before;
    },
    async statements(run) {
      const before = logger.sent;
      await run();
      return logger.sent - before;
    },
    empty: async () => void (await db.execute(sql`truncate hosts, quarantines, releases, revisions, rollouts, rollout_orders, freezes cascade`)),
    backUp: async () => await eachTable(sql`delete from backup.%1$I; insert into backup.%1$I table public.%1$I`),
    restore: async () => await eachTable(sql`delete from public.%1$I; insert into public.%1$I overriding system value table backup.%1$I`),
    [Symbol.asyncDispose]: close,
  };
}

export const COUNTED_DATABASES = [
  {
    name: 'PGlite',
    async open() {
      const image = await preparedImage();
      const client = await PGlite.create(image === undefined ? {} : { loadDataDir: image });
      const logger = new StatementCount();
      return await counted(drizzlePglite({ client, logger }), logger, async () => await client.close());
    },
  },
  {
    name: 'Postgres',
    async open() {
      const server = await startPostgres();
      const url = new URL(server.url);
      const client = postgres({ host: url.searchParams.get('host') ?? '', user: url.username, database: url.pathname.slice(1), max: 1 });
      const logger = new StatementCount();
      return await counted(drizzlePostgres({ client, logger }), logger, async () => {
        await client.end();
        await server[Symbol.asyncDispose]();
      });
    },
  },
] as const;
