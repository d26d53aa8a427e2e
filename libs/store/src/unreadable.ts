import { MAX_COUNTER, MAX_TIME_MS } from '@floe/model';
import { and, gte, lte, sql, type SQL } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';

/** So many of them are named. */
const NAMED = 3;

/**
 * Rows of which too much cannot be read to be told as what they are: a host whose name no host can have, a revision
 * without a commit. They are left out, and said here, by whoever reads all of their kind.
 */
export class LeftOutRows {
  readonly #found = new Map<string, readonly string[]>();

  /** What was left out of a kind the last time. */
  set(kind: string, names: readonly string[]): void {
    if (names.length === 0) this.#found.delete(kind);
    else this.#found.set(kind, names);
  }

  /** For people, a sentence for each kind. */
  list(): readonly string[] {
    return [...this.#found].map(([kind, names]) => {
      const rest = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
      return `${kind} in the database cannot be read and are left out: ${names.slice(0, NAMED).join(', ')}${rest}`;
    });
  }
}

/** Rows are put in order by it: one beyond all bounds would be the newest forever, and hide all that come. */
export function isReadableCounter(column: PgColumn): SQL | undefined {
  return and(gte(column, 0), lte(column, MAX_COUNTER));
}

/** The counter to go on from; 0 for one that cannot be read: adding to it would fail, forever. */
export function readableCounter(column: PgColumn): SQL<number> {
  return sql`case when ${column} between 0 and ${MAX_COUNTER}::bigint then ${column} else 0 end`;
}

/** The same for a time. */
export function readableTime(column: PgColumn): SQL<number> {
  return sql`case when ${column} between 0 and ${MAX_TIME_MS}::bigint then ${column} else 0 end`;
}
