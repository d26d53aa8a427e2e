import { MAX_COUNTER, STORE_PATH_FORM, type StorePath } from '@floe/model';
import { sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { readRows } from './rows.ts';

/** Of each host so many of its newest releases, and of those that it was told, can be gone back to. */
const NEWEST = 3;

const Row = v.object({ toplevel: v.nullable(v.string()) });

/**
 * The systems that somebody may still be given: what is on its way to hosts (each revision from the one that hosts follow on, also as far as it is
 * only evaluated; what was submitted and waits), what each host is to run, runs, ran before and is kept on, and the stepping stones. Reads
 * columns as they are: a row that cannot be read as a whole is no reason to lose its system.
 */
export async function systemsInUse(db: Database, repositoryId: string): Promise<ReadonlySet<StorePath>> {
  const readable = sql`between 0 and ${MAX_COUNTER}::bigint`;
  const found = await db.execute(sql`
    with young as (
      select v.id from revisions v
      where v.repository_id = ${repositoryId} and v.sequence ${readable} and v.sequence >= coalesce((
        select f.sequence from revisions f join rollouts o on o.revision_id = f.id
        where f.repository_id = ${repositoryId} and f.sequence ${readable} and o.waiting_since is null
        order by f.sequence desc limit 1), 0)
    )
    select l.toplevel from young join releases l on l.revision_id = young.id
    union select e.toplevel from young join evaluations e on e.revision_id = young.id
    union select of_host.toplevel from hosts h cross join lateral (values
      (h.desired_toplevel), (h.state_toplevel), (h.went_toplevel),
      (h.observed ->> 'current'), (h.observed ->> 'booted'), (h.observed -> 'profile' ->> 'toplevel')) as of_host (toplevel)
    union select l.toplevel from hosts h join releases l on l.id in (h.desired_release_id, h.stable_release_id)
    union select newest.toplevel from hosts h cross join lateral (
      select l.toplevel from releases l
      where l.repository_id = h.repository_id and l.host = h.host and not l.is_submitted and l.sequence ${readable}
      order by l.sequence desc limit ${NEWEST}) as newest
    union select told.toplevel from hosts h cross join lateral (
      select l.toplevel from directives d join releases l on l.id = d.release_id
      where d.host = h.host order by d.epoch desc limit ${NEWEST}) as told
    union select l.toplevel from pins p join releases l on l.id = p.release_id
    union select toplevel from stepping_stones
    union select toplevel from trials where ended_at is null
    union select toplevel from submissions where state = 'WAITING'
    union select entry ->> 1 from handovers o cross join lateral jsonb_array_elements(
      case when jsonb_typeof(o.systems) = 'array' then o.systems else '[]'::jsonb end) as entry
    where o.state = 'WAITING' or exists (
      select from revisions r where r.handover_id = o.id and r.state in ('RECEIVED', 'VERIFYING', 'EVALUATING', 'BUILDING'))`);
  return new Set(
    readRows(Row, found).flatMap(({ toplevel }) => (toplevel !== null && STORE_PATH_FORM.test(toplevel) ? [toplevel as StorePath] : [])),
  );
}
