import { MAX_COUNTER, storableText, type HostName } from '@floe/model';
import { asc, sql, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import type { Release } from './records.ts';
import { RowReader } from './row-reader.ts';
import { withoutNulls } from './rows.ts';
import { releases } from './tables/index.ts';

type ReleaseRow = typeof releases.$inferSelect;

/** What says whether a row can be read, without the envelope, which is long. */
const SHORT = {
  id: releases.id,
  host: releases.host,
  sequence: releases.sequence,
  toplevel: releases.toplevel,
  commit: releases.commit,
  issuedAt: releases.issuedAt,
};
type ShortRow = Pick<ReleaseRow, keyof typeof SHORT>;

function isReadable(row: ShortRow): boolean {
  const reader = new RowReader();
  reader.counter('sequence', row.sequence);
  reader.time('issued_at', row.issuedAt);
  reader.path('toplevel', row.toplevel);
  reader.commit('commit', row.commit);
  return reader.problem === undefined;
}

/** One that cannot be read is none: its host keeps what it has. */
export function toRelease(row: ReleaseRow): Release[] {
  const { repositoryId: _, ...release } = withoutNulls(row);
  return isReadable(row) ? [release] : [];
}

/** See `isReadableCounter`. */
const isReadableSequence = sql`sequence between 0 and ${MAX_COUNTER}::bigint`;

/**
 * The newest release of each host, also of one that was forgotten. It goes down the index (repository, host, sequence) once
 * per host: from the newest release of the last host to the newest of the host before it. `distinct on` reads all releases.
 */
export async function newestPerHost(db: Database, repositoryId: string, onLeftOut: (names: readonly string[]) => void): Promise<Release[]> {
  const newestBefore = (host: SQL | undefined): SQL => sql`
    select id, host from releases
    where repository_id = ${repositoryId} and ${isReadableSequence} ${host === undefined ? sql.empty() : sql`and host < ${host}`}
    order by host desc, sequence desc limit 1`;
  const newest = sql`
    with recursive newest as (
      (${newestBefore(undefined)})
      union all
      select before.id, before.host from newest cross join lateral (${newestBefore(sql`newest.host`)}) as before
    )
    select id from newest`;
  const rows = await db
    .select()
    .from(releases)
    .where(sql`${releases.id} in (${newest})`)
    .orderBy(asc(releases.host));
  onLeftOut(rows.filter((row) => !isReadable(row)).map(({ host, sequence }) => `the one of ${storableText(host, 60)} with sequence ${sequence}`));
  return rows.flatMap(toRelease);
}

/**
 * Of each host the newest release that counts at `sequence`: what it got by then, since a host that a revision does not
 * change keeps its release. One that came back from the statement log counts always: it was handed out in a time that
 * the database forgot, and nothing may move a machine behind it. Two index rows per host, however many releases it has.
 */
export async function releasesAsOf(
  db: Database,
  repositoryId: string,
  sequence: number,
  names: readonly HostName[] | undefined,
): Promise<readonly Omit<ShortRow, 'commit' | 'issuedAt'>[]> {
  const newestOf = (counts: SQL): SQL => sql`
    (select id, sequence from releases
     where repository_id = ${repositoryId} and host = h.host and ${isReadableSequence} and ${counts}
     order by sequence desc limit 1)`;
  const newest = sql`
    select newest.id from hosts h cross join lateral (
      select id from (${newestOf(sql`sequence <= ${sequence}::bigint`)} union all ${newestOf(sql`revision_id is null`)}) as counted
      order by sequence desc limit 1
    ) as newest
    where h.repository_id = ${repositoryId} ${
      names === undefined ? sql.empty() : sql`and h.host in (select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb))`
    }`;
  const rows = await db
    .select(SHORT)
    .from(releases)
    .where(sql`${releases.id} in (${newest})`);
  return rows.filter(isReadable);
}
