import { COMMIT_SHA_FORM, MAX_COUNTER, storableText, type CommitSha, type HostName, type StorePath } from '@floe/model';
import { sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import type { CommitOfSystem, SystemOfHost } from './records.ts';
import { Int8, readRows } from './rows.ts';

const Row = v.object({ host: v.string(), toplevel: v.string(), commit: v.string(), sequence: Int8, subject: v.nullable(v.string()) });

/** Of each system the newest release that has it for the host. One that cannot be read is none. */
export async function commitsOf(db: Database, systems: readonly SystemOfHost[]): Promise<CommitOfSystem[]> {
  if (systems.length === 0) return [];
  const found = await db.execute(sql`
    select distinct on (releases.host, releases.toplevel)
      releases.host, releases.toplevel, releases.commit, releases.sequence, revisions.subject
    from jsonb_to_recordset(${JSON.stringify(systems)}::text::jsonb) as wanted(host text, toplevel text)
    join releases on releases.host = wanted.host and releases.toplevel = wanted.toplevel and releases.sequence between 0 and ${MAX_COUNTER}::bigint
    left join revisions on revisions.id = releases.revision_id
    order by releases.host, releases.toplevel, releases.sequence desc`);
  return readRows(Row, found)
    .filter(({ commit }) => COMMIT_SHA_FORM.test(commit))
    .map(({ host, toplevel, commit, sequence, subject }) => ({
      host: host as HostName,
      toplevel: toplevel as StorePath,
      commit: commit as CommitSha,
      sequence,
      subject: subject === null ? undefined : storableText(subject),
    }));
}
