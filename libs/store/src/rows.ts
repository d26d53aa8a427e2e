import { NOTHING_OBSERVED, type HostName, type Observed as ObservedHost, type StorePath } from '@floe/model';
import { sql, type SQL } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import * as v from 'valibot';
import type { Detail as HostDetail, StageTimings as HostTimings } from './records.ts';

// What comes out of the database without Drizzle knowing its type: jsonb columns and the rows of hand-written SQL.
// Only this lib writes there, so unknown keys are ignored: an older version may have left them.

/** A bigint: postgres.js gives text, PGlite a number. */
export const Int8 = v.pipe(v.union([v.number(), v.string()]), v.transform(Number), v.safeInteger());
export const HostNameText = v.pipe(
  v.string(),
  v.transform((text) => text as HostName),
);
const StorePathText = v.pipe(
  v.string(),
  v.transform((text) => text as StorePath),
);

const Observed = v.object({
  current: v.nullable(StorePathText),
  booted: v.nullable(StorePathText),
  profile: v.nullable(v.object({ generation: v.number(), toplevel: StorePathText })),
});
const Detail = v.object({ code: v.string(), message: v.string() });
const StageTimings = v.object({
  downloadMs: v.optional(v.number()),
  activateMs: v.optional(v.number()),
  verifyMs: v.optional(v.number()),
  commitMs: v.optional(v.number()),
  rollbackMs: v.optional(v.number()),
});

/** The jsonb column `observed`; nothing was observed yet where it is null. */
export function readObserved(column: unknown): ObservedHost {
  return column === null ? NOTHING_OBSERVED : v.parse(Observed, column);
}
export function readDetail(column: unknown): HostDetail | undefined {
  return column === null ? undefined : v.parse(Detail, column);
}
export function readTimings(column: unknown): HostTimings | undefined {
  return column === null ? undefined : v.parse(StageTimings, column);
}

/** The jsonb column `warnings`. */
export function readWarnings(column: unknown): readonly string[] {
  return column === null ? [] : v.parse(v.array(v.string()), column);
}

const Result = v.union([
  v.array(v.unknown()),
  v.pipe(
    v.object({ rows: v.array(v.unknown()) }),
    v.transform((result) => result.rows),
  ),
]);

/** The rows of `db.execute()`: postgres.js gives an array, PGlite an object with it. */
export function readRows<Schema extends v.GenericSchema>(schema: Schema, result: unknown): v.InferOutput<Schema>[] {
  return v.parse(v.array(schema), v.parse(Result, result));
}

type Defined<Row> = { [Key in keyof Row]: null extends Row[Key] ? Exclude<Row[Key], null> | undefined : Row[Key] };

/** Nulls become undefined: nothing outside this lib knows of SQL's null. */
export function withoutNulls<Row extends object>(row: Row): Defined<Row> {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, value === null ? undefined : value])) as Defined<Row>;
}

/** `column in (values)` with one parameter, however many there are: a statement takes 65,535. */
export function isOneOf(column: PgColumn, values: readonly string[]): SQL {
  return sql`${column} in (select jsonb_array_elements_text(${JSON.stringify(values)}::text::jsonb))`;
}
