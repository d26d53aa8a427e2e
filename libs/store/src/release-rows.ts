import { MAX_COUNTER, MAX_TIME_ZONE_CHARACTERS, storableText, type EvaluationOutcome, type HostName, type ReleaseRef } from '@floe/model';
import { and, asc, desc, eq, inArray, lte, or, sql, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import type { Release } from './records.ts';
import { RowReader } from './row-reader.ts';
import { isOneOf } from './rows.ts';
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
  const { repositoryId: _, revisionId, ...release } = row;
  return isReadable(row) ? [{ ...release, revisionId: revisionId ?? undefined }] : [];
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

function ofHosts(repositoryId: string, names: readonly HostName[] | undefined): SQL | undefined {
  return and(eq(hosts.repositoryId, repositoryId), names === undefined ? undefined : isOneOf(hosts.host, names));
}

/** The outcomes with which a host has a release at a revision. */
const RELEASED = ['CHANGED', 'NEW', 'UNCHANGED'] as const satisfies readonly EvaluationOutcome[];

interface OfRollout {
  readonly sequence: number;
  readonly revisionId: string;
}

/** The newest release of a row of `hosts`, as of the rollout's revision. One index row per host, however many releases it has. */
function newestAsOf(db: Database, repositoryId: string, { sequence }: OfRollout) {
  return db
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
}

/**
 * A release is in the rollout. A host that its revision does not change keeps the release that it has, which counts too, also where it was
 * restored from the statement log; one that the revision has no release for is not in it.
 */
function isInRollout(newest: ReturnType<typeof newestAsOf>, { revisionId }: OfRollout): SQL | undefined {
  const isKept = and(inArray(evaluations.outcome, [...RELEASED]), eq(evaluations.toplevel, newest.toplevel));
  return or(eq(newest.revisionId, revisionId), isKept);
}

function isEvaluation({ revisionId }: OfRollout): SQL | undefined {
  return and(eq(evaluations.revisionId, revisionId), eq(evaluations.host, hosts.host));
}

/** The releases of a rollout. */
export async function releasesOfRollout(
  db: Database,
  repositoryId: string,
  rollout: OfRollout,
  names: readonly HostName[] | undefined,
): Promise<readonly Counted[]> {
  const newest = newestAsOf(db, repositoryId, rollout);
  const { id, host, sequence, toplevel, commit, issuedAt } = newest;
  const rows = await readAsText(db, { id, host, sequence, toplevel, commit, issuedAt }, (selected) =>
    selected
      .from(hosts)
      .crossJoinLateral(newest)
      .leftJoin(evaluations, isEvaluation(rollout))
      .where(and(ofHosts(repositoryId, names), isInRollout(newest, rollout))),
  );
  return rows.filter(isReadable);
}

/** What `resolve()` chooses from of a host. */
export interface ReleasesInForce {
  readonly stable: ReleaseRef | undefined;
  readonly inRollout: ReleaseRef | undefined;
  /** Of the host's configuration in the rollout's revision. */
  readonly timeZone: string | undefined;
}

/** Nothing has a release as of it. */
const NO_ROLLOUT: OfRollout = { sequence: -1, revisionId: '' };

/**
 * The stable release of each host, and that of the rollout, as columns of a statement about hosts that joins these. Stable is that of the last
 * rollout that was complete with it. One that was only restored from the statement log is none: whether hosts proved it is not known, and a
 * rollout of the newest commit tells.
 */
export function releasesInForce(db: Database, repositoryId: string, rollout: OfRollout = NO_ROLLOUT) {
  const newest = newestAsOf(db, repositoryId, rollout);
  // Looked up for each host: a planner that takes the tables to be small would read all releases to join them.
  const stable = db
    .select(SHORT)
    .from(releases)
    .where(and(eq(releases.id, hosts.stableReleaseId), isReadableCounter(releases.sequence)))
    .limit(1)
    .as('stable');
  const columns = {
    stableId: stable.id,
    stableHost: stable.host,
    stableSequence: stable.sequence,
    stableToplevel: stable.toplevel,
    stableCommit: stable.commit,
    stableIssuedAt: stable.issuedAt,
    isIn: sql<boolean | null>`${isInRollout(newest, rollout)}`,
    newestId: newest.id,
    newestHost: newest.host,
    newestSequence: newest.sequence,
    newestToplevel: newest.toplevel,
    newestCommit: newest.commit,
    newestIssuedAt: newest.issuedAt,
    timeZone: evaluations.timeZone,
  };
  return { columns, newest, stable, isEvaluation: isEvaluation(rollout) };
}

type Of<Prefix extends string, Row> = { readonly [Key in keyof Row & string as `${Prefix}${Capitalize<Key>}`]: Row[Key] | null };
/** A row with the columns of {@link releasesInForce}. */
type RowInForce = Of<'stable', ShortRow> & Of<'newest', ShortRow> & { readonly isIn: boolean | null; readonly timeZone: string | null };

/** An unreadable release is none. One under another name is of another host. */
export function toReleasesInForce(host: HostName, row: RowInForce): ReleasesInForce {
  const { stableId, stableHost, stableSequence, stableToplevel, stableCommit, stableIssuedAt } = row;
  const { newestId, newestHost, newestSequence, newestToplevel, newestCommit, newestIssuedAt } = row;
  const ofHost = (release: Nullable<ShortRow>): ReleaseRef | undefined => {
    const { id, sequence, toplevel, commit, issuedAt } = release;
    if (release.host !== host || id === null || sequence === null || toplevel === null || commit === null || issuedAt === null) return undefined;
    return isReadable({ id, host, sequence, toplevel, commit, issuedAt }) ? { id, host, sequence, toplevel } : undefined;
  };
  const inRollout =
    row.isIn === true
      ? ofHost({
          id: newestId,
          host: newestHost,
          sequence: newestSequence,
          toplevel: newestToplevel,
          commit: newestCommit,
          issuedAt: newestIssuedAt,
        })
      : undefined;
  return {
    stable: ofHost({
      id: stableId,
      host: stableHost,
      sequence: stableSequence,
      toplevel: stableToplevel,
      commit: stableCommit,
      issuedAt: stableIssuedAt,
    }),
    inRollout,
    timeZone: inRollout === undefined || row.timeZone === null ? undefined : storableText(row.timeZone, MAX_TIME_ZONE_CHARACTERS),
  };
}

type Nullable<Row> = { readonly [Key in keyof Row]: Row[Key] | null };
