import { MAX_COUNTER } from '@floe/model';
import { sql, type SQL } from 'drizzle-orm';

const newer = (counts: SQL) => sql`exists (
  select from releases n where n.repository_id = releases.repository_id and n.host = releases.host
    and not n.is_submitted and n.sequence > releases.sequence and n.sequence <= ${MAX_COUNTER}::bigint and ${counts})`;
const current = sql`(select c.sequence from current c where c.repository_id = releases.repository_id)`;

/** What `COUNTS_NO_MORE` refers to, as a query named `current`: the newest rollout that hosts follow, of each repository. */
export const CURRENT_ROLLOUTS = sql`current as (
  select v.repository_id, max(v.sequence) as sequence from rollouts o join revisions v on v.id = o.revision_id
  where o.waiting_since is null and v.sequence between 0 and ${MAX_COUNTER}::bigint group by v.repository_id
)`;

/**
 * Of a row of `releases`: its host cannot be told it any more. Of each host these releases count: its newest; its newest as of the
 * rollout that hosts follow (see `releasesOfRollout`); its stable one; its stepping stones; what it is pinned to or held on; and what
 * it was told or has now (people are told its commit). Neither such a release nor a quarantine of its system is forgotten.
 */
export const COUNTS_NO_MORE = sql`(${newer(sql`true`)}
  and ((releases.sequence <= ${current}) is not true or ${newer(sql`n.sequence <= ${current}`)})
  and not exists (select from hosts h where h.desired_release_id = releases.id)
  and not exists (select from hosts h where h.stable_release_id = releases.id)
  and not exists (
    select from hosts h where h.host = releases.host and releases.toplevel in (
      h.state_toplevel, h.observed ->> 'current', h.observed ->> 'booted', h.observed -> 'profile' ->> 'toplevel'))
  and not exists (select from stepping_stones t where t.release_id = releases.id)
  and not exists (select from pins p where p.release_id = releases.id))`;
