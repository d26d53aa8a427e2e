import {
  boundedTime,
  isEndedRevision,
  mustFinishFirst,
  PATIENCE,
  patienceMs,
  REVISION_STATES,
  SUPERSESSION_LIMIT,
  type CommitSha,
} from '@floe/model';
import { and, desc, eq, gt, isNotNull, isNull, lt, or, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { overtake } from './publish.ts';
import { Int8, readRows } from './rows.ts';
import { revisions } from './tables/index.ts';
import { isFailedRevision, isUnfinishedRevision } from './tables/unfinished.ts';
import { isReadableCounter } from './unreadable.ts';
import type { WaitsForOlder } from './waiting-records.ts';

// Which of several unfinished revisions is worked on (SPEC R7).

/** Two of the branch, and two that were submitted. */
export const MAX_UNFINISHED = 4;

/** The final states in which it is known what a revision has for each host. */
export const FINISHED = REVISION_STATES.filter((state) => isEndedRevision(state) && state !== 'SUPERSEDED');

/** More would not change how long a newer one waits. */
const MAX_OVERTAKEN = 8;

const COLUMNS = {
  id: revisions.id,
  sha: revisions.sha,
  sequence: revisions.sequence,
  receivedAt: revisions.receivedAt,
  fetchedAt: revisions.fetchedAt,
  error: revisions.error,
  handoverId: revisions.handoverId,
};
type Row = Pick<typeof revisions.$inferSelect, keyof typeof COLUMNS>;

/** Newest first. */
async function rowsOf(db: Database, repositoryId: string, where: SQL | undefined, limit: number): Promise<Row[]> {
  return await db
    .select(COLUMNS)
    .from(revisions)
    .where(and(eq(revisions.repositoryId, repositoryId), where, isReadableCounter(revisions.sequence)))
    .orderBy(desc(revisions.sequence))
    .limit(limit);
}

/** It was not submitted. */
export function isOfBranch(): SQL {
  return isNull(revisions.handoverId);
}

/** A newer one came first, also after some of its hosts had their release: what is published with all of them was built. */
const IS_OVERTAKEN = or(eq(revisions.state, 'SUPERSEDED'), and(eq(revisions.state, 'PUBLISHED'), isNull(revisions.builtAt)));

/** Those that were overtaken in a row before this one, since one was last published with all its hosts. What was refused or failed ends no row. */
async function overtakenBefore(db: Database, repositoryId: string, { sequence }: Row, which?: SQL): Promise<readonly Row[]> {
  const isWhole = and(eq(revisions.state, 'PUBLISHED'), isNotNull(revisions.builtAt), isOfBranch());
  const [last] = await rowsOf(db, repositoryId, isWhole, 1);
  const isBetween = and(IS_OVERTAKEN, isOfBranch(), gt(revisions.sequence, last?.sequence ?? 0), lt(revisions.sequence, sequence), which);
  return await rowsOf(db, repositoryId, isBetween, MAX_OVERTAKEN);
}

/** The revision that is under way and must be finished before a newer one; undefined: none. */
export async function finishedFirst(db: Database, repositoryId: string, now: number): Promise<Row | undefined> {
  const running = (await rowsOf(db, repositoryId, and(isUnfinishedRevision(revisions.state), isOfBranch()), 2)).at(-1);
  if (running === undefined) return undefined;
  const overtaken = (await overtakenBefore(db, repositoryId, running)).slice(0, SUPERSESSION_LIMIT.supersessions);
  const since = Math.min(running.receivedAt, ...overtaken.map(({ receivedAt }) => receivedAt));
  const isFirst = mustFinishFirst({ supersededInARow: overtaken.length, waitingMs: now - since, isStuck: running.error !== null });
  return isFirst ? running : undefined;
}

const Since = v.object({ since: v.nullable(Int8) });

/** When the first of the branch's that are newer than this one came, also of those that an even newer one has replaced. Those that failed had their turn. */
async function newerSince(db: Database, repositoryId: string, { sequence }: Row): Promise<number | undefined> {
  const rows = await db.execute(sql`
    select min(coalesce(${revisions.fetchedAt}, ${revisions.receivedAt})) as since from ${revisions}
    where ${revisions.repositoryId} = ${repositoryId} and ${revisions.sequence} > ${sequence}::bigint and ${isReadableCounter(revisions.sequence)}
      and ${isOfBranch()} and not ${isFailedRevision(revisions.state)}`);
  return readRows(Since, rows)[0]?.since ?? undefined;
}

/** One that was overtaken was under way for so long that a newer one waited for it in vain. */
function ranOutOfTime(): SQL {
  const endedAt = sql`case when ${revisions.state} = 'PUBLISHED' then ${revisions.publishedAt} else ${revisions.supersededAt} end`;
  return sql`(${endedAt})::numeric - ${revisions.verifiedAt} >= ${PATIENCE.baseMs}`;
}

/** The newest commit of the branch, which waits for an older one; undefined: none waits. */
export async function waitsForOlder(db: Database, repositoryId: string): Promise<WaitsForOlder | undefined> {
  const [newest, ...older] = await rowsOf(db, repositoryId, and(isUnfinishedRevision(revisions.state), isOfBranch()), 2);
  const running = older.at(-1);
  if (newest === undefined || running === undefined) return undefined;
  const since = await newerSince(db, repositoryId, running);
  if (since === undefined) return undefined;
  const inVain = (await overtakenBefore(db, repositoryId, running, ranOutOfTime())).length;
  return { id: newest.id, sha: newest.sha, after: running.sha, until: boundedTime(since + patienceMs(inVain)) };
}

/** Ends the revision that is finished first, when a newer commit has waited long enough for it. True: it did. */
export async function endOverdue(db: Database, repositoryId: string, now: number): Promise<boolean> {
  const waits = await waitsForOlder(db, repositoryId);
  return waits !== undefined && now >= waits.until && (await endOlder(db, repositoryId, waits.sha, now)).length > 0;
}

/** Ends the unfinished revisions of the branch that are older than this one, which is unfinished, too. Returns their commits. */
export async function endOlder(db: Database, repositoryId: string, sha: CommitSha, now: number): Promise<readonly CommitSha[]> {
  return await db.transaction(async (tx) => {
    const unfinished = await rowsOf(tx, repositoryId, and(isUnfinishedRevision(revisions.state), isOfBranch()), MAX_UNFINISHED);
    const own = unfinished.find((each) => each.sha === sha);
    const older = own === undefined ? [] : unfinished.filter(({ sequence }) => sequence < own.sequence);
    const ended: CommitSha[] = [];
    for (const each of older) if ((await overtake(tx, each.id, sha, now)).kind === 'advanced') ended.push(each.sha);
    return ended;
  });
}
