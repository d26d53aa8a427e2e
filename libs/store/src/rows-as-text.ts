import { getTableColumns, is, sql, Table, type SQL, type SQLWrapper } from 'drizzle-orm';
import type { PgSelectBuilder, SelectedFields } from 'drizzle-orm/pg-core';
import type { SelectResultFields } from 'drizzle-orm/query-builders/select.types';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { readRows } from './rows.ts';

const Text = v.object({ rows: v.string() });
/** Not value by value: there are hundreds of thousands, and each is judged where it is read. */
const Lists = v.custom<readonly (readonly unknown[])[]>((rows) => Array.isArray(rows) && rows.every((row) => Array.isArray(row)));
const Values = v.pipe(v.string(), v.parseJson(), Lists);

/** As many as a function of Postgres takes arguments. */
const MAX_VALUES = 100;

/** What is awaited of a query of Drizzle. */
type Query = SQLWrapper & PromiseLike<readonly object[]>;

/** Values of a row that follow each other: those of a table, under its name in the row, or one. */
interface Part {
  readonly name: string;
  /** Undefined: one value. */
  readonly columns: readonly string[] | undefined;
  /** A row of it in which all is null: to copy it and to fill it in takes half as long as to make an object of so many fields. */
  readonly empty: Readonly<Record<string, unknown>>;
}

/**
 * The rows of a query, from one row with one text: for thousands of rows the driver and Drizzle take ten times as long to make objects as
 * `JSON.parse` does. Values are as JSON has them: a bigint is a number, and jsonb is what is in it. Only for columns of these, of text and of
 * booleans; what Drizzle would convert in another way is not.
 */
export async function readAsText<Fields extends SelectedFields, Found extends Query>(
  db: Database,
  fields: Fields,
  build: (selected: PgSelectBuilder<Fields>) => Found,
): Promise<Awaited<Found>> {
  const parts = partsOf(fields);
  const count = parts.reduce((sum, { columns }) => sum + (columns?.length ?? 1), 0);
  if (count > MAX_VALUES) throw new RangeError(`a row has ${count} values, and Postgres takes ${MAX_VALUES}`);
  const names = sql.raw(Array.from({ length: count }, (_, index) => `c${index}`).join(', '));
  const query = build(db.select(fields));
  const found = await db.execute(
    sql`select coalesce(json_agg(json_build_array(${names})), '[]')::text as rows from (${query.getSQL()}) as t (${names})`,
  );
  const rows = v.parse(Values, readRows(Text, found)[0]?.rows);
  // Drizzle's own type for the same fields.
  return rows.map((values) => toObject(parts, values)) as Awaited<Found>;
}

/** Rows of other tables that belong to a row of {@link readAsText}. */
export interface Nested<Row> {
  /** One value, null where there are none: most hosts have no trial, and a null for each of its columns is read for each host. */
  readonly column: SQL;
  read(value: unknown): readonly Row[];
}

/** `from`: the tables and the condition, which names the outer row. */
export function nested<Fields extends SelectedFields>(fields: Fields, from: SQL): Nested<SelectResultFields<Fields>> {
  const parts = partsOf(fields);
  const values = Object.values(fields).flatMap((field) => (is(field, Table) ? Object.values(getTableColumns(field)) : [field]));
  return {
    column: sql<unknown>`(select json_agg(json_build_array(${sql.join(values as SQLWrapper[], sql`, `)})) from ${from})`,
    // Drizzle's own type for the same fields.
    read: (value) => (value === null ? [] : v.parse(Lists, value).map((row) => toObject(parts, row) as SelectResultFields<Fields>)),
  };
}

/** In the order in which Drizzle selects them. */
function partsOf(fields: SelectedFields): readonly Part[] {
  return Object.entries(fields).map(([name, field]) => {
    const columns = is(field, Table) ? Object.keys(getTableColumns(field)) : undefined;
    return { name, columns, empty: Object.fromEntries((columns ?? []).map((column) => [column, null])) };
  });
}

function toObject(parts: readonly Part[], values: readonly unknown[]): object {
  const row: Record<string, unknown> = {};
  let next = 0;
  for (const { name, columns, empty } of parts) {
    if (columns === undefined) {
      row[name] = values[next++];
      continue;
    }
    const part = { ...empty };
    let isThere = false;
    for (const column of columns) {
      const value = values[next++];
      if (value === null) continue;
      part[column] = value;
      isThere = true;
    }
    // Of a table that was joined, and has no such row.
    row[name] = isThere ? part : null;
  }
  return row;
}
