import { COMMIT_SHA_FORM, MAX_COUNTER, storableText, type CommitSha, type HostName, type StorePath } from '@floe/model';
import { sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import type { CommitOfSystem, SystemOfHost } from './records.ts';
import { Int8, readRows } from './rows.ts';

const Row = v.object({
  as_of: v.nullable(Int8),
  host: v.string(),
  toplevel: v.string(),
  commit: v.string(),
  sequence: Int8,
  subject: v.nullable(v.string()),
});

/** For each system the newest release of the host with it, by one index lookup. An unreadable one is skipped. */
export async function commitsOf(db: Database, systems: readonly SystemOfHost[]): Promise<CommitOfSystem[]> {
  if (systems.length === 0) return [];
  const wanted = systems.map(({ asOf, ...system }) => ({ ...system, as_of: asOf }));
  const found = await db.execute(sql`
    select newest.*, wanted.as_of, revisions.subject
    from (
      select distinct host, toplevel, as_of
      from jsonb_to_recordset(${JSON.stringify(wanted)}::text::jsonb) as system(host text, toplevel text, as_of bigint)
    ) as wanted
    cross join lateral (
      select host, toplevel, commit, sequence, revision_id from releases
      where host = wanted.host and toplevel = wanted.toplevel and not is_submitted and sequence between 0 and ${MAX_COUNTER}::bigint
        and (wanted.as_of is null or issued_at <= wanted.as_of)
      order by sequence desc limit 1
    ) as newest
    left join revisions on revisions.id = newest.revision_id`);
  return readRows(Row, found)
    .filter(({ commit }) => COMMIT_SHA_FORM.test(commit))
    .map(({ host, toplevel, as_of: asOf, commit, sequence, subject }) => ({
      host: host as HostName,
      toplevel: toplevel as StorePath,
      asOf: asOf ?? undefined,
      commit: commit as CommitSha,
      sequence,
      subject: subject === null ? undefined : storableText(subject),
    }));
}
