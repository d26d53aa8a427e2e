import { sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import { readRows } from './rows.ts';

const Grown = v.object({ name: v.string() });

/**
 * Replaces Postgres' autovacuum, with its thresholds: reclaims the space of deleted and replaced rows, and renews the planner's
 * statistics. PGlite has no such process, so its tables would grow with every update. One table after another, because PGlite
 * serves nothing else meanwhile.
 */
export async function vacuumGrown(db: Pick<PgDatabase<PgQueryResultHKT>, 'execute'>): Promise<void> {
  await db.execute(sql`select pg_stat_force_next_flush()`);
  const grown = await db.execute(sql`
    select relname::text as name from pg_stat_user_tables
    where schemaname = 'public' and (n_dead_tup > 50 + 0.2 * n_live_tup or n_mod_since_analyze > 50 + 0.1 * n_live_tup)`);
  for (const { name } of readRows(Grown, grown)) await db.execute(sql`vacuum (analyze) ${sql.identifier(name)}`);
}
