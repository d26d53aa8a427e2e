import { isEndedRevision, REVISION_STATES } from '@floe/model';
import { sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import type { Timestamp } from './records.ts';
import { Int8, readRows } from './rows.ts';

// What is let go of the history: a push adds a row per host to two tables, for as long as there are pushes.

/** So many of the newest revisions stay, however old: what the page and the commands list. */
const KEEP_REVISIONS = 200;
const ENDED = JSON.stringify(REVISION_STATES.filter((state) => isEndedRevision(state)));
const Counted = v.object({ count: Int8 });

/**
 * Of each host two releases count: its newest, and its newest as of the last rollout that was complete. A release that
 * came back from the statement log counts at every time (see `releasesAsOf`). Besides them stays what a row names, and
 * what the host rolled back from: the quarantine would end with it.
 */
export async function pruneReleases(db: Database, before: Timestamp): Promise<number> {
  const pruned = await db.execute(sql`
    with stable as (
      select v.repository_id, max(v.sequence) as sequence
      from rollouts o join revisions v on v.id = o.revision_id where o.state = 'COMPLETE' group by v.repository_id
    ), counted as (
      select r.id, r.host, r.sequence, r.toplevel, r.issued_at, r.revision_id is null or r.sequence <= s.sequence as is_stable
      from releases r left join stable s on s.repository_id = r.repository_id
    ), ranked as (
      select *, max(sequence) over (partition by host) as newest, max(sequence) filter (where is_stable) over (partition by host) as newest_stable
      from counted
    ), pruned as (
      delete from releases where id in (
        select r.id from ranked r
        where r.issued_at < ${before} and r.sequence < r.newest and (r.is_stable is not true or r.sequence < r.newest_stable)
          and not exists (select from hosts h where h.desired_release_id = r.id)
          and not exists (select from pins p where p.release_id = r.id)
          and not exists (select from directives d where d.release_id = r.id)
          and not exists (select from quarantines q where q.host = r.host and q.toplevel = r.toplevel)
      )
      returning 1
    )
    select count(*) as count from pruned`);
  return readRows(Counted, pruned)[0]?.count ?? 0;
}

/** Of a revision that was published and that releases are of, its row stays, and its rollout: they say what counts when. */
export async function pruneRevisions(db: Database, before: Timestamp): Promise<number> {
  return await db.transaction(async (tx) => {
    const old = sql`
      select r.id from revisions r
      where r.received_at < ${before}
        and r.state in (select jsonb_array_elements_text(${ENDED}::text::jsonb))
        and r.sequence <= (select max(n.sequence) from revisions n where n.repository_id = r.repository_id) - ${KEEP_REVISIONS}
        and not (r.state = 'PUBLISHED' and not exists (
          select from revisions n where n.repository_id = r.repository_id and n.state = 'PUBLISHED' and n.sequence > r.sequence))`;
    const evaluated = await tx.execute(sql`
      with pruned as (delete from evaluations where revision_id in (${old}) returning 1) select count(*) as count from pruned`);
    // A rollout that was complete is gone by as soon as a newer one is.
    const unused = sql`
      ${old} and not exists (select from releases l where l.revision_id = r.id)
        and not exists (
          select from rollouts o where o.revision_id = r.id and o.state = 'COMPLETE' and not exists (
            select from rollouts p join revisions n on n.id = p.revision_id
            where p.state = 'COMPLETE' and n.repository_id = r.repository_id and n.sequence > r.sequence))`;
    await tx.execute(sql`delete from rollout_stories where revision_id in (${unused})`);
    await tx.execute(sql`delete from rollouts where revision_id in (${unused})`);
    const forgotten = await tx.execute(sql`
      with pruned as (delete from revisions where id in (${unused}) returning 1) select count(*) as count from pruned`);
    return [...readRows(Counted, evaluated), ...readRows(Counted, forgotten)].reduce((sum, { count }) => sum + count, 0);
  });
}
