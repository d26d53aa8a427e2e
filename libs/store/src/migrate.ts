import { FloeError, type Clock, type Logger } from '@floe/runtime';
import { sql } from 'drizzle-orm';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { Int8, readRows } from './rows.ts';

/** An arbitrary fixed number: all Floe processes on one database take this lock before they migrate. */
const MIGRATION_LOCK = 0x666c_6f65;

/**
 * Brings the database to the newest migration in `migrationsDir`, in one transaction. The advisory lock closes the race
 * of processes that start together: the second waits, and finds everything done. Throws `FloeError('STORE_TOO_NEW')`
 * when the database knows a migration that is not in the folder. Resolves to the time
 * at which the newest of the folder was made.
 *
 * Whoever works under a lease while the tables change is an older Floe, which would take what it does not understand for a failure of a commit: its
 * lease ends (see fence.ts), and it gets none again (`refuseNewer`).
 */
export async function migrate(
  db: Database,
  deps: { readonly clock: Clock; readonly logger: Logger; readonly migrationsDir: string },
): Promise<number> {
  const known = readMigrationFiles({ migrationsFolder: deps.migrationsDir });
  await db.transaction(async (tx) => {
    // Waiting for another process's long migration is not a hang.
    await tx.execute(sql`set local statement_timeout = 0`);
    await tx.execute(sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`);
    await tx.execute(sql`create table if not exists floe_migrations (made_at bigint primary key, hash text not null, applied_at bigint not null)`);
    const rows = readRows(Applied, await tx.execute(sql`select made_at from floe_migrations`));
    const applied = new Set(rows.map((row) => row.made_at));
    const unknown = [...applied].filter((madeAt) => !known.some((migration) => migration.folderMillis === madeAt));
    if (unknown.length > 0) throw tooNew(unknown);
    for (const migration of known) {
      if (applied.has(migration.folderMillis)) continue;
      for (const statement of migration.sql) await tx.execute(sql.raw(statement));
      await tx.execute(
        sql`insert into floe_migrations (made_at, hash, applied_at) values (${migration.folderMillis}, ${migration.hash}, ${deps.clock.now()})`,
      );
      deps.logger.info('the database was migrated', { migration: new Date(migration.folderMillis).toISOString() });
    }
    // Last, as everybody locks these rows after all others.
    if (known.some(({ folderMillis }) => !applied.has(folderMillis))) await endLeases(tx);
  });
  return known.reduce((newest, { folderMillis }) => Math.max(newest, folderMillis), 0);
}

/** Tables of a very old Floe have no leases with tokens. */
async function endLeases(tx: Database): Promise<void> {
  await tx.execute(
    sql`do $$ begin if to_regclass('repository_leases') is not null then update repository_leases set token = token + 1; end if; end $$`,
  );
}

/** Throws `FloeError('STORE_TOO_NEW')` when the database has a migration that was made after `newest`. */
export async function refuseNewer(db: Database, newest: number): Promise<void> {
  const newer = readRows(Applied, await db.execute(sql`select made_at from floe_migrations where made_at > ${newest}`));
  if (newer.length > 0) throw tooNew(newer.map((row) => row.made_at));
}

function tooNew(unknown: readonly number[]): FloeError {
  return new FloeError('STORE_TOO_NEW', 'the database was migrated by a newer Floe: start that version, or restore a backup from before', {
    data: { newest: new Date(Math.max(...unknown)).toISOString() },
  });
}

const Applied = v.object({ made_at: Int8 });
