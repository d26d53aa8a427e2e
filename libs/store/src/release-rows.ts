import { MAX_COUNTER, storableText, type EvaluationOutcome, type HostName } from '@floe/model';
import { and, asc, desc, eq, inArray, lte, or, sql, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import type { Release } from './records.ts';
import { RowReader } from './row-reader.ts';
import { isOneOf, withoutNulls } from './rows.ts';
import { readAsText } from './rows-as-text.ts';
import { evaluations, hosts, releases } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

type ReleaseRow = typeof releases.$inferSelect;

/** The columns that decide whether a row is readable, without the long envelope. */
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

/** An unreadable row is skipped: its host keeps its system. */
export function toRelease(row: ReleaseRow): Release[] {
  const { repositoryId: _, ...release } = withoutNulls(row);
  return isReadable(row) ? [release] : [];
}

/**
 * The newest release of each host, including forgotten hosts. Walks the index (repository, host, sequence) once per host: from
 * the newest release of the last host to the newest of the host before it. `distinct on` would read all releases.
 */
export async function newestPerHost(db: Database, repositoryId: string, onLeftOut: (names: readonly string[]) => void): Promise<Release[]> {
  const newestBefore = (host: SQL | undefined): SQL => sql`
    select id, host from releases
    where repository_id = ${repositoryId} and not is_submitted and sequence between 0 and ${MAX_COUNTER}::bigint ${host === undefined ? sql.empty() : sql`and host < ${host}`}
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

type Counted = Omit<ShortRow, 'commit' | 'issuedAt'>;

/** `timeZone`: of the host's configuration in the rollout's revision. */
type CountedInRollout = Counted & { readonly timeZone: string | null };

function ofHosts(repositoryId: string, names: readonly HostName[] | undefined): SQL | undefined {
  return and(eq(hosts.repositoryId, repositoryId), names === undefined ? undefined : isOneOf(hosts.host, names));
}

/** The outcomes with which a host has a release at a revision. */
const RELEASED = ['CHANGED', 'NEW', 'UNCHANGED'] as const satisfies readonly EvaluationOutcome[];

/**
 * The releases of a rollout. A host that its revision does not change keeps the release that it has, which counts too, also where it was
 * restored from the statement log; one that the revision has no release for is not in it. One index row per host, however many releases it has.
 */
export async function releasesOfRollout(
  db: Database,
  repositoryId: string,
  { sequence, revisionId }: { readonly sequence: number; readonly revisionId: string },
  names: readonly HostName[] | undefined,
): Promise<readonly CountedInRollout[]> {
  const newest = db
    .select({ ...SHORT, revisionId: releases.revisionId })
    .from(releases)
    .where(
      and(
        eq(releases.repositoryId, repositoryId),
        eq(releases.host, hosts.host),
        eq(releases.isSubmitted, false),
        isReadableCounter(releases.sequence),
        lte(releases.sequence, sequence),
      ),
    )
    .orderBy(desc(releases.sequence))
    .limit(1)
    .as('newest');
  const { id, host, toplevel, commit, issuedAt } = newest;
  const rows = await readAsText(db, { id, host, sequence: newest.sequence, toplevel, commit, issuedAt, timeZone: evaluations.timeZone }, (selected) =>
    selected
      .from(hosts)
      .crossJoinLateral(newest)
      .leftJoin(evaluations, and(eq(evaluations.revisionId, revisionId), eq(evaluations.host, hosts.host)))
      .where(
        and(
          ofHosts(repositoryId, names),
          or(eq(newest.revisionId, revisionId), and(inArray(evaluations.outcome, [...RELEASED]), eq(evaluations.toplevel, newest.toplevel))),
        ),
      ),
  );
  return rows.filter(isReadable);
}

/**
 * The stable release of each host: of the last rollout that was complete with it. One that was only restored from the statement log is none:
 * whether hosts proved it is not known, and a rollout of the newest commit tells.
 */
export async function stableReleases(db: Database, repositoryId: string, names: readonly HostName[] | undefined): Promise<readonly Counted[]> {
  const rows = await readAsText(db, SHORT, (selected) =>
    selected
      .from(hosts)
      .innerJoin(releases, and(eq(releases.id, hosts.stableReleaseId), isReadableCounter(releases.sequence)))
      .where(ofHosts(repositoryId, names)),
  );
  return rows.filter(isReadable);
}
