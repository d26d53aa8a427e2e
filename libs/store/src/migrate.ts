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
 * when the database knows a migration that is not in the folder.
 */
export async function migrate(db: Database, deps: { readonly clock: Clock; readonly logger: Logger; readonly migrationsDir: string }): Promise<void> {
  const known = readMigrationFiles({ migrationsFolder: deps.migrationsDir });
  await db.transaction(async (tx) => {
    // Waiting for another process's long migration is not a hang.
    await tx.execute(sql`set local statement_timeout = 0`);
    await tx.execute(sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`);
    await tx.execute(sql`create table if not exists floe_migrations (made_at bigint primary key, hash text not null, applied_at bigint not null)`);
    const rows = readRows(Applied, await tx.execute(sql`select made_at from floe_migrations`));
    const applied = new Set(rows.map((row) => row.made_at));
    const unknown = [...applied].filter((madeAt) => !known.some((migration) => migration.folderMillis === madeAt));
    if (unknown.length > 0) {
      throw new FloeError('STORE_TOO_NEW', 'the database was migrated by a newer Floe: start that version, or restore a backup from before', {
        data: { newest: new Date(Math.max(...unknown)).toISOString() },
      });
    }
    for (const migration of known) {
      if (applied.has(migration.folderMillis)) continue;
      for (const statement of migration.sql) await tx.execute(sql.raw(statement));
      await tx.execute(
        sql`insert into floe_migrations (made_at, hash, applied_at) values (${migration.folderMillis}, ${migration.hash}, ${deps.clock.now()})`,
      );
      deps.logger.info('the database was migrated', { migration: new Date(migration.folderMillis).toISOString() });
    }
  });
}

const Applied = v.object({ made_at: Int8 });
