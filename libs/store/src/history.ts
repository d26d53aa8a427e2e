import { isEndedRevision, MAX_COUNTER, REVISION_STATES } from '@floe/model';
import { sql } from 'drizzle-orm';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import type { Timestamp } from './records.ts';
import { COUNTS_NO_MORE, CURRENT_ROLLOUTS } from './releases-that-count.ts';
import { evaluations, releases, revisions, rollouts, rolloutStories } from './tables/index.ts';

// What is deleted of the history: a push adds a row per host to two tables, for as long as there are pushes.

/** So many of the newest revisions stay, however old: what the page and the commands list. */
const KEEP_REVISIONS = 200;
const ENDED = JSON.stringify(REVISION_STATES.filter((state) => isEndedRevision(state)));

/** Old releases that nothing names go: of each host those stay that count, that it was directed to, and that it rolled back from. */
export async function pruneReleases(db: Database, before: Timestamp): Promise<number> {
  return await deleteInBatches(
    db,
    releases,
    sql`releases.issued_at < ${before} and ${COUNTS_NO_MORE}
      and not exists (select from directives d where d.release_id = releases.id)
      and not exists (select from quarantines q where q.host = releases.host and q.toplevel = releases.toplevel)`,
    CURRENT_ROLLOUTS,
  );
}

/**
 * Of a revision that was published and that releases are of, its row stays, and its rollout: they say what counts when. Its
 * rows go one table after another: what is gone is never looked at, and the next round takes what a crash has left.
 */
export async function pruneRevisions(db: Database, before: Timestamp): Promise<number> {
  const old = sql`
    select r.id from repositories
    cross join lateral (
      select n.sequence from revisions n where n.repository_id = repositories.id and n.sequence between 0 and ${MAX_COUNTER}::bigint
      order by n.sequence desc offset ${KEEP_REVISIONS - 1} limit 1
    ) as kept
    join revisions r on r.repository_id = repositories.id and r.sequence < kept.sequence
    where r.received_at < ${before}
      and not exists (select from quarantine_orders q where q.repository_id = r.repository_id and q.commit = r.sha)
      and r.state in (select jsonb_array_elements_text(${ENDED}::text::jsonb))
      and not (r.state = 'PUBLISHED' and not exists (
        select from revisions n where n.repository_id = r.repository_id and n.state = 'PUBLISHED' and n.sequence > r.sequence))`;
  // A rollout that was complete is gone by as soon as a newer one is.
  const unused = sql`
    ${old} and not exists (select from releases l where l.revision_id = r.id)
      and not exists (
        select from rollouts o where o.revision_id = r.id and o.state = 'COMPLETE' and not exists (
          select from rollouts p join revisions n on n.id = p.revision_id
          where p.state = 'COMPLETE' and n.repository_id = r.repository_id and n.sequence > r.sequence))`;
  const evaluated = await deleteInBatches(db, evaluations, sql`evaluations.revision_id in (${old})`);
  await deleteInBatches(db, rolloutStories, sql`rollout_stories.revision_id in (${unused})`);
  await deleteInBatches(db, rollouts, sql`rollouts.revision_id in (${unused})`);
  return (
    evaluated +
    (await deleteInBatches(
      db,
      revisions,
      sql`revisions.id in (${unused}) and not exists (select from rollouts o where o.revision_id = revisions.id)`,
    ))
  );
}
