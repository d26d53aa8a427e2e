import { MAX_COUNTER, mayBeTrain, type CommitSha, type RolloutState } from '@floe/model';
import { and, desc, eq, lt, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import type { NextOfFleet, Timestamp } from './records.ts';
import { readOrders } from './rollout-orders.ts';
import { isFollowed, isWaiting } from './followed.ts';
import { RowReader } from './row-reader.ts';
import { Int8, readRows } from './rows.ts';
import { revisions, rollouts } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

// Published revisions whose rollout waits for the one that hosts follow. `waiting_since` stays on one that never began.

/** The rollout that hosts follow, as far as it decides whether a newer one begins. */
interface Followed {
  readonly state: RolloutState;
  readonly sequence: number;
  readonly startedAt: Timestamp;
  readonly sha: CommitSha;
}

async function readFollowed(db: Database, repositoryId: string, below: number): Promise<Followed | undefined> {
  const [row] = await db
    .select({ state: rollouts.state, sequence: revisions.sequence, startedAt: rollouts.startedAt, sha: revisions.sha })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(and(eq(revisions.repositoryId, repositoryId), isFollowed(), isReadableCounter(revisions.sequence), lt(revisions.sequence, below)))
    .orderBy(desc(revisions.sequence))
    .limit(1);
  return row;
}

const Superseded = v.object({ count: Int8, since: v.nullable(Int8) });

/** The rollouts before this one, up to one that came to an end of its own. */
async function readSuperseded(db: Database, repositoryId: string, { sequence, startedAt }: Followed): Promise<NextOfFleet['superseded']> {
  const ended = sql`
    select e.sequence from ${revisions} e join ${rollouts} o on o.revision_id = e.id
    where e.repository_id = ${repositoryId} and e.sequence between 0 and ${sequence}::bigint - 1 and o.waiting_since is null and o.state <> 'SUPERSEDED'
    order by e.sequence desc limit 1`;
  const [row] = readRows(
    Superseded,
    await db.execute(sql`
      select count(*)::bigint as count, min(o.started_at) as since
      from ${revisions} r join ${rollouts} o on o.revision_id = r.id
      where r.repository_id = ${repositoryId} and o.waiting_since is null
        and r.sequence > coalesce((${ended}), -1) and r.sequence < ${sequence}::bigint`),
  );
  return { count: row?.count ?? 0, since: Math.min(row?.since ?? startedAt, startedAt) };
}

const Found = v.object({ found: v.number() });

/** Some host has a release of a sequence above `above`, and not above `upTo`. */
async function hasReleases(db: Database, repositoryId: string, above: number, upTo: number): Promise<boolean> {
  const rows = await db.execute(sql`
    select 1 as found from ${revisions} r
    where r.repository_id = ${repositoryId} and r.sequence > ${above}::bigint and r.sequence <= ${upTo}::bigint
      and exists (select from releases l where l.revision_id = r.id)
    limit 1`);
  return readRows(Found, rows).length > 0;
}

interface WaitingRow {
  readonly id: string;
  readonly version: number;
  readonly revisionId: string;
  readonly sha: CommitSha;
  readonly sequence: number;
  readonly since: Timestamp;
}

async function readWaiting(db: Database, repositoryId: string, where?: SQL): Promise<WaitingRow | undefined> {
  const [row] = await db
    .select({ rollout: rollouts, sequence: revisions.sequence, sha: revisions.sha })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(and(eq(revisions.repositoryId, repositoryId), isWaiting(), isReadableCounter(revisions.sequence), where))
    .orderBy(desc(revisions.sequence))
    .limit(1);
  if (row === undefined) return undefined;
  const reader = new RowReader();
  return {
    id: row.rollout.id,
    version: reader.counter('version', row.rollout.version),
    revisionId: row.rollout.revisionId,
    sha: row.sha,
    sequence: row.sequence,
    since: reader.time('waiting_since', row.rollout.waitingSince ?? 0),
  };
}

/** Whether {@link readNext} finds one, as a column of another statement: most of the time none waits. */
export function hasNext(repositoryId: string): SQL {
  return sql`exists (select from rollouts o join revisions r on r.id = o.revision_id where r.repository_id = ${repositoryId} and o.state = 'NEXT')`;
}

/** The newest revision that waits for the rollout that hosts follow; undefined: none. */
export async function readNext(db: Database, repositoryId: string): Promise<NextOfFleet | undefined> {
  const waiting = await readWaiting(db, repositoryId);
  if (waiting === undefined) return undefined;
  const followed = await readFollowed(db, repositoryId, waiting.sequence);
  const orders = await readOrders(db, repositoryId, waiting.id);
  return {
    ...waiting,
    after: followed?.sha,
    isHotfix: orders.hotfix !== undefined,
    orders,
    hasNews: followed === undefined || (await hasReleases(db, repositoryId, followed.sequence, waiting.sequence)),
    superseded: followed === undefined ? { count: 0, since: waiting.since } : await readSuperseded(db, repositoryId, followed),
  };
}

/** Of the rollout that hosts follow; undefined: there is none. */
export async function supersededInARow(db: Database, repositoryId: string): Promise<NextOfFleet['superseded'] | undefined> {
  const followed = await readFollowed(db, repositoryId, MAX_COUNTER);
  return followed === undefined ? undefined : await readSuperseded(db, repositoryId, followed);
}

/**
 * Since when the revision that is about to be published waits; undefined: its rollout begins at once. Whether one that may be a train is
 * one depends on its hosts, and on what follows from that the engine decides.
 */
export async function waitsSince(tx: Database, of: Publishing, at: Timestamp): Promise<Timestamp | undefined> {
  const { repositoryId, sequence } = of;
  const followed = await readFollowed(tx, repositoryId, sequence);
  if (followed === undefined || followed.state === 'COMPLETE' || followed.state === 'SUPERSEDED') return undefined;
  const before = await readWaiting(tx, repositoryId, lt(revisions.sequence, sequence));
  const wasNews = before !== undefined && (await hasReleases(tx, repositoryId, followed.sequence, before.sequence));
  if (!of.hasReleases && !wasNews) return at;
  const since = wasNews ? before.since : at;
  return mayBeTrain(followed.state, await readSuperseded(tx, repositoryId, followed), since) ? since : undefined;
}

interface Publishing {
  readonly repositoryId: string;
  readonly sequence: number;
  /** It has releases of its own. */
  readonly hasReleases: boolean;
}
