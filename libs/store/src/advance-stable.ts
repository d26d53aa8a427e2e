import type { HostName } from '@floe/model';
import { sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { evaluations, hosts, releases, revisions } from './tables/index.ts';

/**
 * In the transaction in which a rollout completes, which has locked all hosts of its repository. The releases of the rollout become the stable
 * ones of its hosts, also those of hosts that the revision did not change, but not those of hosts that were not asked. A stable release never
 * gets a lower sequence.
 */
export async function advanceStable(tx: Database, revisionId: string, unasked: readonly HostName[] = []): Promise<void> {
  await tx.execute(sql`
    update ${hosts} as h set stable_release_id = r.id,
      stable_by = case when (select s.toplevel from ${releases} s where s.id = h.stable_release_id) is distinct from r.toplevel then v.id else h.stable_by end
    from ${revisions} v
    cross join lateral (select n.host from ${hosts} n where n.repository_id = v.repository_id) n
    cross join lateral (
      select c.id, c.host, c.toplevel, c.sequence, c.revision_id from ${releases} c
      where c.repository_id = v.repository_id and c.host = n.host and not c.is_submitted and c.sequence between 0 and v.sequence
      order by c.sequence desc limit 1
    ) r
    left join ${evaluations} e on e.revision_id = v.id and e.host = n.host
    where v.id = ${revisionId} and h.host = n.host and n.host not in (select jsonb_array_elements_text(${JSON.stringify(unasked)}::text::jsonb))
      and (r.revision_id = v.id or (e.outcome in ('CHANGED', 'NEW', 'UNCHANGED') and e.toplevel = r.toplevel))
      and h.stable_release_id is distinct from r.id
      and not exists (
        select from quarantine_orders q join revisions qv on qv.repository_id = q.repository_id and qv.sha = q.commit
        join evaluations qe on qe.revision_id = qv.id and qe.host = h.host and qe.toplevel = r.toplevel
        where q.repository_id = v.repository_id and (q.subject = h.host or (q.subject = '*' and qe.outcome in ('CHANGED', 'NEW'))))
      and not exists (select from ${releases} s where s.id = h.stable_release_id and s.sequence > r.sequence)`);
}
