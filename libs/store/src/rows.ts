import {
  MAX_COUNTER,
  MAX_DURATION_MS,
  MAX_STORE_PATH_CHARACTERS,
  MAX_TEXT_CHARACTERS,
  ROLES,
  STORE_PATH_FORM,
  storableText,
  type HostName,
  type StorePath,
} from '@floe/model';
import { sql, type SQL } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import * as v from 'valibot';

// Values of the database whose type Drizzle does not know: jsonb columns and rows of hand-written SQL. Only this package writes
// them, so unknown keys are ignored: an older version may have left them.

/** A bigint: postgres.js returns text, PGlite a number. */
export const Int8 = v.pipe(v.union([v.number(), v.string()]), v.transform(Number), v.safeInteger());
export const HostNameText = v.pipe(
  v.string(),
  v.transform((text) => text as HostName),
);
/** The stored values are not trusted: a number may have any size, and a text any length. */
const Counter = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_COUNTER));
const DurationMs = v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(MAX_DURATION_MS)));
export const StorePathText = v.pipe(
  v.string(),
  v.maxLength(MAX_STORE_PATH_CHARACTERS),
  v.regex(STORE_PATH_FORM),
  v.transform((text) => text as StorePath),
);
/** A text, cut and cleaned. */
export const storedText = (maxCharacters: number) =>
  v.pipe(
    v.string(),
    v.transform((some) => storableText(some, maxCharacters)),
  );

/** The jsonb columns `observed`, `detail` and `timings`. */
export const ObservedColumn = v.object({
  current: v.nullable(StorePathText),
  booted: v.nullable(StorePathText),
  profile: v.nullable(v.object({ generation: Counter, toplevel: StorePathText })),
});
export const DetailColumn = v.object({ code: storedText(64), message: storedText(4096) });
export const CapabilitiesColumn = v.pipe(v.array(storedText(64)), v.maxLength(64));
/** It is nothing but what was signed: not cut and not cleaned. */
export const WordColumn = v.object({
  statement: v.pipe(v.string(), v.maxLength(32 * 1024)),
  signature: v.pipe(v.string(), v.maxLength(8 * 1024)),
});
export const PermitColumn = v.object({
  kind: v.picklist(['revert', 'pin']),
  by: storedText(200),
  reason: storedText(2_000),
  word: v.optional(WordColumn),
});
export const TimingsColumn = v.object({
  downloadMs: DurationMs,
  activateMs: DurationMs,
  verifyMs: DurationMs,
  commitMs: DurationMs,
  rollbackMs: DurationMs,
});

/** The jsonb column `warnings`. */
export const WarningsColumn = v.pipe(v.array(storedText(MAX_TEXT_CHARACTERS)), v.maxLength(1_000));

/** Who asked to let a revision pass below the floor of the settings. */
export const GlassColumn = v.pipe(
  v.array(
    v.object({
      by: storedText(MAX_TEXT_CHARACTERS),
      person: v.optional(storedText(MAX_TEXT_CHARACTERS)),
      role: v.picklist(ROLES),
      reason: storedText(MAX_TEXT_CHARACTERS),
      at: Int8,
    }),
  ),
  v.maxLength(100),
);

const Result = v.union([
  v.array(v.unknown()),
  v.pipe(
    v.object({ rows: v.array(v.unknown()) }),
    v.transform((result) => result.rows),
  ),
]);

/** The rows of `db.execute()`: postgres.js returns an array, PGlite an object with it. */
export function readRows<Schema extends v.GenericSchema>(schema: Schema, result: unknown): v.InferOutput<Schema>[] {
  return v.parse(v.array(schema), v.parse(Result, result));
}

const Text = v.object({ rows: v.string() });
const Numbers = v.pipe(
  v.string(),
  v.parseJson(),
  v.custom<readonly (readonly [HostName, number])[]>((rows) => Array.isArray(rows) && rows.every((row) => Array.isArray(row))),
);

/** A number for each of many hosts, of rows that {@link asOneText} made one: a schema for each would take longer than the rest. `column`: its name. */
export function readNumbers(result: unknown, column: string): ReadonlyMap<HostName, number> {
  const rows = v.parse(Numbers, readRows(Text, result)[0]?.rows);
  const bad = rows.find(([, number]) => !Number.isSafeInteger(number));
  if (bad !== undefined) v.parse(v.object({ [column]: v.pipe(v.number(), v.safeInteger()) }), { [column]: bad[1] });
  return new Map(rows);
}

/** `from`: what follows the word. */
export function asOneText(host: SQL, number: SQL, from: SQL): SQL {
  return sql`select coalesce(json_agg(json_build_array(${host}, ${number}) order by ${host}), '[]')::text as rows from ${from}`;
}

type Defined<Row> = { [Key in keyof Row]: null extends Row[Key] ? Exclude<Row[Key], null> | undefined : Row[Key] };

/** Nulls become undefined: SQL's null is not used outside of this package. */
export function withoutNulls<Row extends object>(row: Row): Defined<Row> {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key, value === null ? undefined : value])) as Defined<Row>;
}

/** Of so few values Postgres is told each: it takes a list that it cannot see into for a hundred, and reads the whole table. */
const FEW = 3;

/** `column in (values)`; of more than a few with a single parameter, because a statement takes at most 65,535. */
export function isOneOf(column: PgColumn | SQL, values: readonly string[]): SQL {
  if (values.length > 0 && values.length <= FEW) {
    const few = values.map((value) => sql`${value}::text`);
    return sql`${column} in (${sql.join(few, sql`, `)})`;
  }
  return sql`${column} in (select jsonb_array_elements_text(${JSON.stringify(values)}::text::jsonb))`;
}
