import { storableText, type HostName } from '@floe/model';
import { and, asc, desc, eq, isNull, lte, or, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import type { Release } from './records.ts';
import { RowReader } from './row-reader.ts';
import { isOneOf, withoutNulls } from './rows.ts';
import { releases } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

/** One that cannot be read is none: its host keeps what it has. */
export function toRelease(row: typeof releases.$inferSelect): Release[] {
  const reader = new RowReader();
  const { repositoryId: _, ...release } = withoutNulls(row);
  reader.counter('sequence', row.sequence);
  reader.time('issued_at', row.issuedAt);
  reader.path('toplevel', row.toplevel);
  reader.commit('commit', row.commit);
  return reader.problem === undefined ? [release] : [];
}

/**
 * Of each host the newest release that counts at `sequence`: what it got by then, since a host that a revision does not
 * change keeps its release. One that came back from the statement log counts always: it was handed out in a time that
 * the database forgot, and nothing may move a machine behind it.
 */
export async function releasesAsOf(db: Database, repositoryId: string, sequence: number, names: readonly HostName[] | undefined): Promise<Release[]> {
  return await newestPerHost(
    db,
    and(
      eq(releases.repositoryId, repositoryId),
      or(lte(releases.sequence, sequence), isNull(releases.revisionId)),
      names === undefined ? undefined : isOneOf(releases.host, names),
    ),
  );
}

/** The newest of each host. */
export async function newestPerHost(db: Database, where: SQL | undefined, onLeftOut?: (names: readonly string[]) => void): Promise<Release[]> {
  const rows = await db
    .selectDistinctOn([releases.host])
    .from(releases)
    .where(and(where, isReadableCounter(releases.sequence)))
    .orderBy(asc(releases.host), desc(releases.sequence));
  const bad = rows.filter((row) => toRelease(row).length === 0);
  onLeftOut?.(bad.map(({ host, sequence }) => `the one of ${storableText(host, 60)} with sequence ${sequence}`));
  return rows.flatMap(toRelease);
}
