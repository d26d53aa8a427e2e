import { getTableName, sql, type SQL, type Table } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { Int8, readRows } from './rows.ts';

/** Rows per statement: few enough to finish well within the time limit, and to hold locks only briefly. */
const ROWS_PER_DELETE = 5_000;
const Counted = v.object({ count: Int8 });

/**
 * Deletes all rows of a table for which `where` is true, by many short statements; resolves to their number. `facts` are queries
 * that `where` refers to (`name as (select …)`), evaluated once per statement.
 */
export async function deleteInBatches(db: Database, table: Table, where: SQL, facts?: SQL): Promise<number> {
  const name = sql.identifier(getTableName(table));
  for (let removed = 0; ;) {
    const deleted = await db.execute(sql`
      with ${facts === undefined ? sql.empty() : sql`${facts},`} deleted as (
        delete from ${name} where ctid = any(array(select ${name}.ctid from ${name} where ${where} limit ${ROWS_PER_DELETE})) returning 1
      )
      select count(*) as count from deleted`);
    const count = readRows(Counted, deleted)[0]?.count ?? 0;
    removed += count;
    if (count < ROWS_PER_DELETE) return removed;
  }
}
