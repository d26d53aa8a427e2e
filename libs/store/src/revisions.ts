import { boundedTime, DEFAULT_POLICY, MAX_COUNTER, REVISION_STATES, storableText, type RolloutPolicy } from '@floe/model';
import { and, desc, eq, getTableColumns, gt, inArray, like, lt, ne, or, sql, type SQL } from 'drizzle-orm';
import { unionAll } from 'drizzle-orm/pg-core';
import type { Database } from './database.ts';
import { noteSigners } from './authors.ts';
import { missingRow } from './errors.ts';
import { breakGlass, noteBelowFloor } from './break-glass.ts';
import { createEvaluationStore } from './evaluations.ts';
import { endOlder, endOverdue, FINISHED, finishedFirst, isOfBranch, MAX_UNFINISHED, waitsForOlder } from './finished-first.ts';
import { notify } from './hints.ts';
import { pruneRevisions } from './history.ts';
import { giveSequence } from './next-sequence.ts';
import { isReadableCounter, type LeftOutRows } from './unreadable.ts';
import { readPolicy } from './policy-column.ts';
import type { ListedRevision, Revision, RevisionInList } from './records.ts';
import { overtake } from './publish.ts';
import { moveRevision, textOrNull } from './revision-moves.ts';
import { isFollowed } from './followed.ts';
import { LISTED_ROLLOUT, readRollout, type ListedRolloutRow } from './rollouts.ts';
import { RowReader } from './row-reader.ts';
import { replaced, takeUp } from './take-up.ts';
import { createBuildProgressStore } from './build-progress.ts';
import { GlassColumn, WarningsColumn, withoutNulls } from './rows.ts';
import type { RevisionStore } from './store.ts';
import type { WaitsForOlder } from './waiting-records.ts';
import { evaluations, repositories, revisions, rollouts, statusOutbox } from './tables/index.ts';
import { isUnfinishedRevision, isUnsettledStatus } from './tables/unfinished.ts';

type Row = typeof revisions.$inferSelect;
/** {@link Row} without the policy, which may be large: lists do not read it. */
const { policy: _policy, ...LISTED_COLUMNS } = getTableColumns(revisions);
type ListedRow = Omit<Row, 'policy'>;

function toRevision(row: Row): Revision[] {
  const reader = new RowReader();
  const policy = readPolicy(row.policy, reader);
  return toRevisionInList(row, reader).map((read) => ({ ...read, policy }));
}

/** An unreadable row is reported like a refused revision. One whose commit is unreadable is skipped. */
function toRevisionInList(row: ListedRow, reader = new RowReader()): RevisionInList[] {
  const sha = reader.commit('sha', row.sha);
  if (sha === undefined) return [];
  const read = {
    ...withoutNulls(row),
    sha,
    sequence: reader.counter('sequence', row.sequence),
    state: reader.one('state', row.state, REVISION_STATES, 'REJECTED'),
    error: reader.text(row.error),
    warnings: reader.json('warnings', row.warnings, WarningsColumn) ?? [],
    glass: row.glass === null ? undefined : reader.json('glass', row.glass, GlassColumn),
    glassAt: reader.timeOrNone('glass_at', row.glassAt),
    glassFloor: reader.text(row.glassFloor),
    sourceKey: row.sourceKey ?? undefined,
    sameSourceAs: reader.commit('same_source_as', row.sameSourceAs),
    subject: storableText(row.subject),
    authorName: storableText(row.authorName),
    authorEmail: storableText(row.authorEmail),
    committedAt: boundedTime(row.committedAt),
    receivedAt: reader.time('received_at', row.receivedAt),
    fetchedAt: reader.timeOrNone('fetched_at', row.fetchedAt),
    verifiedAt: reader.timeOrNone('verified_at', row.verifiedAt),
    evaluatedAt: reader.timeOrNone('evaluated_at', row.evaluatedAt),
    builtAt: reader.timeOrNone('built_at', row.builtAt),
    publishedAt: reader.timeOrNone('published_at', row.publishedAt),
    allowedAt: reader.timeOrNone('allowed_at', row.allowedAt),
    supersededBy: reader.commit('superseded_by', row.supersededBy),
    supersededAt: reader.timeOrNone('superseded_at', row.supersededAt),
  };
  return [reader.problem === undefined ? read : { ...read, error: reader.problem }];
}

async function newestRows(db: Database, where: SQL | undefined, limit: number): Promise<Row[]> {
  const readable = and(where, isReadableCounter(revisions.sequence));
  return await db.select().from(revisions).where(readable).orderBy(desc(revisions.sequence)).limit(limit);
}

async function newestFirst(db: Database, where: SQL | undefined, limit: number): Promise<Revision[]> {
  return (await newestRows(db, where, limit)).flatMap(toRevision);
}

type JoinedRow = { readonly revision: ListedRow; readonly rollout: ListedRolloutRow | null };

async function joinedRows(db: Database, repositoryId: string, where: SQL | undefined, limit: number): Promise<JoinedRow[]> {
  return await db
    .select({ revision: LISTED_COLUMNS, rollout: LISTED_ROLLOUT })
    .from(revisions)
    .leftJoin(rollouts, eq(rollouts.revisionId, revisions.id))
    .where(and(ofRepository(repositoryId), where, isReadableCounter(revisions.sequence)))
    .orderBy(desc(revisions.sequence))
    .limit(limit);
}

function toListed({ revision, rollout }: JoinedRow): ListedRevision[] {
  return toRevisionInList(revision).map((read) => ({ revision: read, rollout: rollout === null ? undefined : readRollout(rollout) }));
}

async function list(db: Database, repositoryId: string, limit: number, leftOut: LeftOutRows, before?: number): Promise<ListedRevision[]> {
  const rows = await joinedRows(db, repositoryId, before === undefined ? undefined : lt(revisions.sequence, before), limit);
  // Two index ranges: a condition with "or" would read all revisions.
  const beyond = await unionAll(
    db
      .select({ id: revisions.id })
      .from(revisions)
      .where(and(ofRepository(repositoryId), lt(revisions.sequence, 0))),
    db
      .select({ id: revisions.id })
      .from(revisions)
      .where(and(ofRepository(repositoryId), gt(revisions.sequence, MAX_COUNTER))),
  ).limit(limit);
  const bad = [...rows.map(({ revision }) => revision).filter((row) => toRevisionInList(row).length === 0), ...beyond];
  leftOut.set(
    'revisions',
    bad.map(({ id }) => storableText(id, 60)),
  );
  return rows.flatMap(toListed);
}

/** A limit against foreign rows: few statuses are unsettled at a time. */
const MAX_UNSETTLED = 50;

/** By commit, not by revision: the newest revision of a commit speaks for it. Two queries, each by its own index. */
async function listUnsettled(db: Database, repositoryId: string, below: number): Promise<ListedRevision[]> {
  const isUnsettled = and(eq(statusOutbox.repositoryId, repositoryId), isUnsettledStatus(statusOutbox));
  const unsettled = await db.selectDistinct({ sha: statusOutbox.sha }).from(statusOutbox).where(isUnsettled).limit(MAX_UNSETTLED);
  const followed = await db
    .select({ sha: revisions.sha })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(and(ofRepository(repositoryId), isFollowed(), isReadableCounter(revisions.sequence)))
    .orderBy(desc(revisions.sequence))
    .limit(1);
  const shas = [...unsettled, ...followed].map(({ sha }) => sha);
  if (shas.length === 0) return [];
  return (await joinedRows(db, repositoryId, and(inArray(revisions.sha, shas), lt(revisions.sequence, below)), MAX_UNSETTLED)).flatMap(toListed);
}

/**
 * Takes a commit in. The lock on the repository's row serialises this: otherwise two processes that fetched the same head would
 * both number it.
 */
async function receive(db: Database, repositoryId: string, commit: Parameters<RevisionStore['receive']>[1]): Promise<Revision> {
  const { sha, subject, authorName, authorEmail, committedAt, receivedAt, fetchedAt } = commit;
  return await db.transaction(async (tx) => {
    const [repository] = await tx
      .select({ allowedCommit: repositories.allowedCommit, allowedAt: repositories.allowedAt })
      .from(repositories)
      .where(eq(repositories.id, repositoryId))
      .for('no key update');
    if (repository === undefined) throw missingRow('repository', repositoryId);
    const newest = await newestOfBranch(tx, repositoryId);
    // One that ended only because a submitted revision went first is taken in again.
    if (newest?.sha === sha && newest.state !== 'SUPERSEDED') {
      await tx.update(repositories).set({ acceptedCommit: sha }).where(eq(repositories.id, repositoryId));
      return newest;
    }
    const sequence = await giveSequence(tx, repositoryId);
    await tx.update(repositories).set({ acceptedCommit: sha }).where(eq(repositories.id, repositoryId));
    const first = await finishedFirst(tx, repositoryId, fetchedAt);
    const unfinished = await tx
      .select({ id: revisions.id })
      .from(revisions)
      .where(
        and(
          eq(revisions.repositoryId, repositoryId),
          lt(revisions.sequence, sequence),
          isUnfinishedRevision(revisions.state),
          isOfBranch(),
          first === undefined ? undefined : ne(revisions.id, first.id),
        ),
      );
    for (const { id } of unfinished) await overtake(tx, id, sha, fetchedAt);
    const [row] = await tx
      .insert(revisions)
      .values({
        repositoryId,
        sha,
        sequence,
        state: 'RECEIVED',
        subject: storableText(subject),
        authorName: storableText(authorName),
        authorEmail: storableText(authorEmail),
        committedAt: boundedTime(committedAt),
        receivedAt,
        fetchedAt,
        allowedAt: repository.allowedCommit === sha && repository.allowedAt !== null ? boundedTime(repository.allowedAt) : null,
      })
      .returning();
    if (row === undefined) throw missingRow('revision', sha);
    await notify(tx, { topic: 'repository', id: repositoryId }, { topic: 'revision', id: row.id });
    return { ...withoutNulls(row), warnings: [], glass: undefined, policy: DEFAULT_POLICY };
  });
}

/** Only while the revision is retried: the reason why a revision ended stays. */
async function noteError(db: Database, id: string, error: string | undefined): Promise<void> {
  await db.transaction(async (tx) => {
    const text = textOrNull(error);
    const noted = await tx
      .update(revisions)
      .set({ error: text })
      .where(and(eq(revisions.id, id), isUnfinishedRevision(revisions.state), sql`${revisions.error} is distinct from ${text}`))
      .returning({ id: revisions.id });
    if (noted.length > 0) await notify(tx, { topic: 'revision', id });
  });
}

async function noteWarnings(db: Database, id: string, warnings: readonly string[]): Promise<void> {
  const texts = warnings.map((warning) => storableText(warning));
  await db.update(revisions).set({ warnings: texts }).where(eq(revisions.id, id));
}

async function savePolicy(db: Database, id: string, policy: RolloutPolicy | undefined): Promise<void> {
  await db
    .update(revisions)
    .set({ policy: policy ?? null })
    .where(eq(revisions.id, id));
}

async function noteSource(db: Database, id: string, key: string): Promise<void> {
  const known = sql`case when coalesce(${revisions.sourceKey}, ${key}) = ${key} then ${key} else '' end`;
  await db.update(revisions).set({ sourceKey: known }).where(eq(revisions.id, id));
}

/** Of a row whose commit cannot be read nothing is told. */
async function readWaiting(db: Database, repositoryId: string): Promise<WaitsForOlder | undefined> {
  const waits = await waitsForOlder(db, repositoryId);
  const reader = new RowReader();
  return waits === undefined || reader.commit('sha', waits.sha) === undefined || reader.commit('sha', waits.after) === undefined ? undefined : waits;
}

async function newestOfBranch(db: Database, repositoryId: string): Promise<Revision | undefined> {
  return (await newestFirst(db, and(ofRepository(repositoryId), isOfBranch()), 1))[0];
}

function ofRepository(repositoryId: string): SQL {
  return eq(revisions.repositoryId, repositoryId);
}

export function createRevisionStore(db: Database, leftOut: LeftOutRows): RevisionStore {
  return {
    receive: async (repositoryId, commit) => await receive(db, repositoryId, commit),
    get: async (id) => (await newestFirst(db, eq(revisions.id, id), 1))[0],
    prune: async (before) => await pruneRevisions(db, before),
    newest: async (repositoryId) => (await newestFirst(db, ofRepository(repositoryId), 1))[0],
    newestOfBranch: async (repositoryId) => await newestOfBranch(db, repositoryId),
    nextUnfinished: async (repositoryId) =>
      (await newestFirst(db, and(ofRepository(repositoryId), isUnfinishedRevision(revisions.state)), MAX_UNFINISHED)).at(-1),
    newestPublished: async (repositoryId) => (await newestFirst(db, and(ofRepository(repositoryId), eq(revisions.state, 'PUBLISHED')), 1))[0],
    newestPublishedOfBranch: async (repositoryId) =>
      (await newestFirst(db, and(ofRepository(repositoryId), eq(revisions.state, 'PUBLISHED'), isOfBranch()), 1))[0],
    newestFinished: async (repositoryId) => {
      const hasRollout = sql`exists (select from ${rollouts} where ${rollouts.revisionId} = ${revisions.id})`;
      const isBuilt = and(eq(revisions.state, 'BUILDING'), hasRollout);
      return (await newestFirst(db, and(ofRepository(repositoryId), or(inArray(revisions.state, FINISHED), isBuilt)), 1))[0];
    },
    list: async (repositoryId, limit, before) => await list(db, repositoryId, limit, leftOut, before),
    listToTell: async (repositoryId, limit) => {
      const newest = await list(db, repositoryId, limit, leftOut);
      const last = newest.at(-1);
      return last === undefined ? newest : [...newest, ...(await listUnsettled(db, repositoryId, last.revision.sequence))];
    },
    async byShaPrefix(repositoryId, prefix) {
      if (!/^[0-9a-f]{1,40}$/.test(prefix)) return [];
      return await newestFirst(db, and(ofRepository(repositoryId), like(revisions.sha, `${prefix}%`)), 20);
    },
    advance: async (id, event, at, error) => await db.transaction(async (tx) => await moveRevision(tx, id, { event, at, error })),
    supersede: async (id, by, at) => await db.transaction(async (tx) => await overtake(tx, id, by, at)),
    waiting: async (repositoryId) => await readWaiting(db, repositoryId),
    endOverdue: async (repositoryId, now) => await endOverdue(db, repositoryId, now),
    endOlder: async (repositoryId, than, now) => await endOlder(db, repositoryId, than, now),
    replaced: async (repositoryId) => await replaced(db, repositoryId),
    takeUp: async (repositoryId, id, at) => await takeUp(db, repositoryId, id, at),
    reopen: async (id, at) =>
      await db.transaction(async (tx) => {
        const result = await moveRevision(tx, id, { event: 'reopened', at });
        if (result.kind !== 'advanced') return result;
        await tx.delete(evaluations).where(eq(evaluations.revisionId, id));
        await tx.update(revisions).set({ sameSourceAs: null }).where(eq(revisions.id, id));
        return result;
      }),
    noteBelowFloor: async (id, floor) => await noteBelowFloor(db, id, floor),
    breakGlass: async (id, word, needed) => await breakGlass(db, id, word, needed),
    noteError: async (id, error) => await noteError(db, id, error),
    noteSource: async (id, key) => await noteSource(db, id, key),
    noteSameSource: async (id, as) => void (await db.update(revisions).set({ sameSourceAs: as }).where(eq(revisions.id, id))),
    savePolicy: async (id, policy) => await savePolicy(db, id, policy),
    noteSigners: async (id, signers) => await noteSigners(db, id, signers),
    noteWarnings: async (id, warnings) => await noteWarnings(db, id, warnings),
    ...createEvaluationStore(db),
    ...createBuildProgressStore(db),
  };
}
