import { and, eq, inArray, notExists, sql, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import { evaluations, releases } from './tables/index.ts';

/** The hosts of a revision that it changes, and that have no release of it yet. */
export function isToBeBuilt(db: Database, revisionId: string): SQL | undefined {
  const own = db
    .select({ one: sql`1` })
    .from(releases)
    .where(and(eq(releases.revisionId, revisionId), eq(releases.host, evaluations.host)));
  return and(eq(evaluations.revisionId, revisionId), inArray(evaluations.outcome, ['CHANGED', 'NEW']), notExists(own));
}
