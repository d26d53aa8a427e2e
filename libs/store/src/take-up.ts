import { FAILED_REVISION, type CommitSha } from '@floe/model';
import { eq, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { readRows } from './rows.ts';
import { moveRevision } from './revision-moves.ts';
import { repositories, revisions } from './tables/index.ts';
import { isFailedRevision, isUnfinishedRevision } from './tables/unfinished.ts';
import { isReadableCounter } from './unreadable.ts';
import type { Replaced } from './waiting-records.ts';

/** So many of the newest commits are looked at: each is evaluated in turn, until one is good. */
const MAX_LOOKED_AT = 20;

const Row = v.object({ id: v.string(), sha: v.string(), after: v.string(), state: v.picklist(FAILED_REVISION) });

/**
 * Commits that a newer one replaced before any host had a release of them, newest first, where the newest commit failed and nothing is under
 * way (SPEC R36). None that is below anything that was published or released, also where that is known by the statement log alone.
 */
export async function replaced(db: Database, repositoryId: string, which?: SQL): Promise<readonly Replaced[]> {
  const rows = await db.execute(sql`
    with newest as (
      select id, sha, sequence, state, published_at from ${revisions}
      where ${revisions.repositoryId} = ${repositoryId} and ${revisions.handoverId} is null and ${isReadableCounter(revisions.sequence)}
      order by sequence desc limit ${MAX_LOOKED_AT}
    ), head as (select * from newest order by sequence desc limit 1)
    select c.id, c.sha, head.sha as after, head.state from newest c, head
    where ${isFailedRevision(sql`head.state`)} and c.state = 'SUPERSEDED' and c.published_at is null
      and not exists (select from ${revisions} where ${revisions.repositoryId} = ${repositoryId} and ${isUnfinishedRevision(revisions.state)})
      and not exists (
        select from revisions r where r.repository_id = ${repositoryId} and r.sequence > c.sequence
          and (r.published_at is not null or r.sha = c.sha or exists (select from releases l where l.revision_id = r.id)))
      and not exists (select from releases l where l.repository_id = ${repositoryId} and l.revision_id is null and not l.is_submitted and l.sequence > c.sequence)
      ${which === undefined ? sql`` : sql`and ${which}`}
    order by c.sequence desc`);
  return readRows(Row, rows).map((row) => ({ ...row, sha: row.sha as CommitSha, after: row.after as CommitSha }));
}

/**
 * It goes on. False: it may not any more. The lock is that of `receive()`: a commit that comes at that moment is before or after this, and
 * never beside it.
 */
export async function takeUp(db: Database, repositoryId: string, id: string, at: number): Promise<boolean> {
  return await db.transaction(async (tx) => {
    await tx.select({ id: repositories.id }).from(repositories).where(eq(repositories.id, repositoryId)).for('no key update');
    const [found] = await replaced(tx, repositoryId, sql`c.id = ${id}`);
    if (found === undefined) return false;
    const moved = await moveRevision(tx, id, { event: 'taken-up', at, also: { supersededBy: null, supersededAt: null } });
    return moved.kind === 'advanced';
  });
}
