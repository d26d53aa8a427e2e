import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostName } from '@floe/model';
import { generateDrizzleJson, generateMigration, type DrizzleSnapshotJSON } from 'drizzle-kit/api';
import { sql } from 'drizzle-orm';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres, type PostgresServer } from '@floe/testkit';
import { connect, type Connection, type Database } from './database.ts';
import { migrate } from './migrate.ts';
import { openStore } from './open.ts';
import { readRows } from './rows.ts';
import * as tables from './tables/index.ts';
import { hashToken } from './token-hash.ts';
import { MIGRATIONS_DIR, newRepository, storeDeps } from './test/test-store.ts';

const Journal = v.object({ entries: v.array(v.object({ idx: v.number(), tag: v.string() })) });

let server: PostgresServer;
let dir: string;
beforeAll(async () => {
  server = await startPostgres();
  dir = await mkdtemp(join(tmpdir(), 'floe-migrations-'));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
  // drizzle-kit opens it for its prompts as soon as it is loaded.
  process.stdin.destroy();
});

async function withDatabase<Result>(run: (connection: Connection) => Promise<Result>): Promise<Result> {
  const connection = await connect({ kind: 'postgres', url: await server.createDatabase() }, storeDeps());
  try {
    return await run(connection);
  } finally {
    await connection.close();
  }
}

const Line = v.object({ line: v.string() });

/** Every table, column, constraint and index that is there, as text. */
async function describeTables(db: Database): Promise<string[]> {
  const found = await db.execute(sql`
    select format('column %s.%s %s %s default %s identity %s', table_name, column_name, data_type, is_nullable, column_default, is_identity) as line
    from information_schema.columns where table_schema = 'public' and table_name <> 'floe_migrations'
    union all
    select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint
    where connamespace = 'public'::regnamespace and conrelid::regclass::text <> 'floe_migrations'
    union all
    select indexdef from pg_indexes where schemaname = 'public' and tablename <> 'floe_migrations'
    order by line`);
  return readRows(Line, found).map(({ line }) => line);
}

/** The folder of migrations with one more, as a newer Floe has it. */
async function newerMigrations(statement: string): Promise<string> {
  const newer = await mkdtemp(join(dir, 'newer-'));
  await cp(MIGRATIONS_DIR, newer, { recursive: true });
  const path = join(newer, 'meta', '_journal.json');
  const journal = v.parse(v.looseObject({ entries: v.array(v.unknown()) }), JSON.parse(await readFile(path, 'utf8')));
  const entry = { idx: journal.entries.length, version: '7', when: Date.UTC(2099, 0), tag: '9999_newer', breakpoints: true };
  await writeFile(path, JSON.stringify({ ...journal, entries: [...journal.entries, entry] }));
  await writeFile(join(newer, '9999_newer.sql'), statement);
  return newer;
}

/** The folder of migrations with only some of them, as an older Floe has it. */
async function formerMigrations(choose: (tags: readonly string[]) => readonly string[]): Promise<string> {
  const former = await mkdtemp(join(dir, 'former-'));
  await cp(MIGRATIONS_DIR, former, { recursive: true });
  const path = join(former, 'meta', '_journal.json');
  const journal = v.parse(v.looseObject({ entries: v.array(v.looseObject({ tag: v.string() })) }), JSON.parse(await readFile(path, 'utf8')));
  const chosen = choose(journal.entries.map(({ tag }) => tag));
  await writeFile(path, JSON.stringify({ ...journal, entries: journal.entries.filter(({ tag }) => chosen.includes(tag)) }));
  return former;
}

describe('the migrations', () => {
  test('make the tables that the code declares', async () => {
    const statements = await generateMigration(generateDrizzleJson({}), generateDrizzleJson(tables));
    const declared = await withDatabase(async ({ db }) => {
      for (const statement of statements) await db.execute(sql.raw(statement));
      return await describeTables(db);
    });
    const migrated = await withDatabase(async ({ db }) => {
      await migrate(db, storeDeps());
      return await describeTables(db);
    });
    expect(migrated).toEqual(declared);
    expect(migrated.length).toBeGreaterThan(100);
  });

  test('end with a snapshot of those tables, for drizzle-kit to continue from', async () => {
    const { entries } = v.parse(Journal, JSON.parse(await readFile(join(MIGRATIONS_DIR, 'meta', '_journal.json'), 'utf8')));
    const prefix = String(entries.at(-1)?.idx ?? 0).padStart(4, '0');
    const snapshot = JSON.parse(await readFile(join(MIGRATIONS_DIR, 'meta', `${prefix}_snapshot.json`), 'utf8')) as DrizzleSnapshotJSON;
    // What is printed here is missing: npx drizzle-kit generate --name what-changes
    expect(await generateMigration(snapshot, generateDrizzleJson(tables, snapshot.id))).toEqual([]);
  });

  test('run twice change nothing, and keep what is there', async () => {
    const url = await server.createDatabase();
    await using first = await openStore({ kind: 'postgres', url }, storeDeps());
    const repository = await newRepository(first);
    await using second = await openStore({ kind: 'postgres', url }, storeDeps());
    expect(await second.repositories.get(repository.id)).toEqual(repository);
  });

  test('keep the hosts and reports of the release before', async () => {
    const former = await formerMigrations(() => ['0000_start']);
    const url = await server.createDatabase();
    const connection = await connect({ kind: 'postgres', url }, storeDeps());
    try {
      await migrate(connection.db, { ...storeDeps(), migrationsDir: former });
      await connection.db.execute(sql`insert into repositories (id, url, branch, created_at) values ('r', 'u', 'main', 1)`);
      await connection.db.execute(sql`insert into hosts (host, repository_id, public_key, epoch) values ('ada', 'r', 'k', 7)`);
      await connection.db.execute(sql`
        insert into reports (host, series, seq, epoch, state, observed, at, received_at)
        values ('ada', 0, 1, 7, 'ROLLED_BACK', '{"current":null,"booted":null,"profile":null}', 1, 2)`);
    } finally {
      await connection.close();
    }
    await using store = await openStore({ kind: 'postgres', url }, storeDeps());
    const ada = 'ada' as HostName;
    expect(await store.hosts.get(ada)).toMatchObject({ epoch: 7, retryEpoch: undefined });
    expect(await store.reports.list(ada, 1)).toMatchObject([{ state: 'ROLLED_BACK', hasLog: false }]);
  });

  test('give the tokens and sessions of a release without roles the role administrator, and later ones none by themselves', async () => {
    const url = await server.createDatabase();
    const connection = await connect({ kind: 'postgres', url }, storeDeps());
    try {
      await migrate(connection.db, {
        ...storeDeps(),
        migrationsDir: await formerMigrations((tags) =>
          tags.slice(
            0,
            tags.findIndex((tag) => tag.endsWith('tokens-with-roles')),
          ),
        ),
      });
      await connection.db.execute(sql`insert into api_tokens (hash, name, created_at) values (${hashToken('old')}, 'admin', 1)`);
      await connection.db.execute(
        sql`insert into sessions (hash, token_hash, created_at, last_used_at) values (${hashToken('s')}, ${hashToken('old')}, 1, 1)`,
      );
      await connection.db.execute(sql`insert into audit_log (at, actor, action, subject, detail) values (1, 'admin', 'revoke', 'ada', 'stolen')`);
      await migrate(connection.db, storeDeps());
      await expect(connection.db.execute(sql`insert into api_tokens (hash, name, created_at) values ('h', 'new', 1)`)).rejects.toThrow();
    } finally {
      await connection.close();
    }
    await using store = await openStore({ kind: 'postgres', url }, storeDeps());
    const admin = { name: 'admin', role: 'administrator', person: 'admin' };
    expect(await store.tokens.findApiToken('old', 2)).toEqual(admin);
    expect(await store.tokens.findSession('s', 2)).toEqual(admin);
    expect(await store.audit.list({ limit: 2 })).toMatchObject([{ actor: 'admin', subject: 'ada', refused: undefined }]);
  });

  test('run by several processes at once are run once', async () => {
    const url = await server.createDatabase();
    const stores = await Promise.all(
      Array.from({ length: 6 }, async () => await openStore({ kind: 'postgres', url, maxConnections: 2 }, storeDeps())),
    );
    await using closing = new AsyncDisposableStack();
    for (const store of stores) closing.use(store);
    await Promise.all(stores.map(async (store) => await newRepository(store)));
  });

  test('are done whole or not at all', async () => {
    await withDatabase(async ({ db }) => {
      const migrationsDir = await newerMigrations('create table half_done (id int);\n--> statement-breakpoint\nselect 1 / 0;');
      await expect(migrate(db, { ...storeDeps(), migrationsDir })).rejects.toMatchObject({ cause: { code: '22012' } }); // division by zero
      expect(await describeTables(db)).toEqual([]);
    });
  });

  test('of a newer Floe end the lease of an older one, which gets none again and writes nothing', async () => {
    const migrationsDir = await newerMigrations('create table from_the_future (id int);');
    const url = await server.createDatabase();
    await using older = await openStore({ kind: 'postgres', url, maxConnections: 2 }, storeDeps());
    const repository = await newRepository(older);
    // Which is over at once.
    const token = await older.repositories.claim(repository.id, 'older', 0);
    const leased = older.underLease({ repositoryId: repository.id, token: token ?? 0 });
    await leased.repositories.recordFetch(repository.id, { now: 2 });
    // One that migrates nothing leaves the lease as it is.
    await using beside = await openStore({ kind: 'postgres', url, maxConnections: 2 }, storeDeps());
    await leased.confirmLease();
    await using newer = await openStore({ kind: 'postgres', url, maxConnections: 2 }, { ...storeDeps(), migrationsDir });
    await expect(leased.confirmLease()).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await expect(leased.repositories.recordFetch(repository.id, { now: 3 })).rejects.toMatchObject({ code: 'LEASE_LOST' });
    for (const store of [older, beside])
      await expect(store.repositories.claim(repository.id, 'older', 1_000)).rejects.toMatchObject({
        code: 'STORE_TOO_NEW',
        retryable: false,
      });
    expect(await newer.repositories.claim(repository.id, 'newer', 1_000)).toBeGreaterThan(token ?? 0);
  });

  test('of a newer Floe are not touched by an older one', async () => {
    await withDatabase(async ({ db }) => {
      await migrate(db, storeDeps());
      await migrate(db, { ...storeDeps(), migrationsDir: await newerMigrations('create table from_the_future (id int);') });
      await expect(migrate(db, storeDeps())).rejects.toMatchObject({
        code: 'STORE_TOO_NEW',
        retryable: false,
        data: { newest: '2099-01-01T00:00:00.000Z' },
      });
    });
  });
});
