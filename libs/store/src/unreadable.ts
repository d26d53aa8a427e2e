import { MAX_COUNTER, MAX_TIME_MS } from '@floe/model';
import { and, gte, lte, sql, type SQL } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';

/** Number of them that are named. */
const NAMED = 3;

/**
 * Rows that are too damaged to be used: a host with an invalid name, a revision without a commit. Whoever reads all rows of a
 * kind skips them, and reports them here.
 */
export class LeftOutRows {
  readonly #found = new Map<string, readonly string[]>();

  /** The rows of a kind that were skipped last time. */
  set(kind: string, names: readonly string[]): void {
    if (names.length === 0) this.#found.delete(kind);
    else this.#found.set(kind, names);
  }

  /** One sentence per kind, for people. */
  list(): readonly string[] {
    return [...this.#found].map(([kind, names]) => {
      const rest = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
      return `${kind} in the database cannot be read, and are skipped: ${names.slice(0, NAMED).join(', ')}${rest}`;
    });
  }
}

/** Rows are sorted by it: a value beyond the bounds would be the newest forever, and hide all later ones. */
export function isReadableCounter(column: PgColumn): SQL | undefined {
  return and(gte(column, 0), lte(column, MAX_COUNTER));
}

/** The counter to increment; 0 when it is unreadable: incrementing that value would always fail. */
export function readableCounter(column: PgColumn): SQL<number> {
  return sql`case when ${column} between 0 and ${MAX_COUNTER}::bigint then ${column} else 0 end`;
}

/** The same for a time. */
export function readableTime(column: PgColumn): SQL<number> {
  return sql`case when ${column} between 0 and ${MAX_TIME_MS}::bigint then ${column} else 0 end`;
}
