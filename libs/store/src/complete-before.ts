import { and, desc, eq, ne, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { knownHostsColumn, toKnownHosts } from './known-hosts.ts';
import { lostColumn, toLost } from './lost-rollouts.ts';
import { readPolicy } from './policy-column.ts';
import type { CompleteBefore } from './records.ts';
import { RowReader } from './row-reader.ts';
import { isFollowed } from './followed.ts';
import { revisions, rollouts } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

/** See `RolloutStore`. One statement, also where nothing was complete. */
export async function completeBefore(db: Database, revisionId: string): Promise<CompleteBefore> {
  const repository = sql`(select r.repository_id from ${revisions} r where r.id = ${revisionId})`;
  const newest = db
    .select({ id: revisions.id, policy: revisions.policy, known: sql`${knownHostsColumn}`.as('known') })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(
      and(
        eq(revisions.repositoryId, repository),
        eq(rollouts.state, 'COMPLETE'),
        ne(revisions.id, revisionId),
        isFollowed(),
        isReadableCounter(revisions.sequence),
      ),
    )
    .orderBy(desc(revisions.sequence))
    .limit(1)
    .as('newest');
  const [row] = await db
    .select({ id: newest.id, policy: newest.policy, known: newest.known, lost: lostColumn(revisionId) })
    .from(sql`(select) as asked`)
    .leftJoin(newest, sql`true`);
  const last =
    row === undefined || row.id === null
      ? undefined
      : { revisionId: row.id, policy: readPolicy(row.policy, new RowReader()), known: toKnownHosts(row.known) };
  return { last, lost: toLost(row?.lost ?? null) };
}
