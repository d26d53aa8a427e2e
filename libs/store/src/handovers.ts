import {
  boundedTime,
  DEFAULT_POLICY,
  HANDOVER_STATES,
  HOST_NAME_FORM,
  isEndedRevision,
  MAX_HANDOVER_HOSTS,
  MAX_WAITING_HANDOVERS,
  MAX_WAITING_HANDOVERS_OF_ONE,
  storableText,
  type HostName,
} from '@floe/model';
import { and, asc, count, desc, eq, getTableColumns, sql } from 'drizzle-orm';
import * as v from 'valibot';
import { writeLogged } from './audit.ts';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import type { Handover, HandoverRequested, HandoverStore, HandoverSystems, NamedCommit } from './handover-contract.ts';
import { notify } from './hints.ts';
import { giveSequence } from './next-sequence.ts';
import type { Revision } from './records.ts';
import { RowReader } from './row-reader.ts';
import { StorePathText, withoutNulls } from './rows.ts';
import { handovers, repositories, revisions } from './tables/index.ts';
import { isUnfinishedRevision } from './tables/unfinished.ts';
import { isReadableCounter } from './unreadable.ts';

const MAX_RESULT_CHARACTERS = 4_000;
/** The one that is worked on, and the newest (SPEC R2). */
const MAX_UNFINISHED = 2;

/** Host, store path, and what it is for, once that is known. */
const SystemsColumn = v.pipe(
  v.array(v.tuple([v.pipe(v.string(), v.regex(HOST_NAME_FORM)), StorePathText, v.nullable(v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/)))])),
  v.maxLength(MAX_HANDOVER_HOSTS),
);

const { systems: _systems, ...LISTED } = getTableColumns(handovers);
type Row = Omit<typeof handovers.$inferSelect, 'systems'>;

function toHandover(row: Row): Handover {
  const reader = new RowReader();
  const read = {
    ...withoutNulls(row),
    commit: reader.commit('commit', row.commit),
    by: storableText(row.by, 200),
    person: storableText(row.person, 200),
    at: boundedTime(row.at),
    endedAt: row.endedAt === null ? undefined : boundedTime(row.endedAt),
    state: reader.one('state', row.state, HANDOVER_STATES, 'REFUSED'),
    result: storableText(row.result, MAX_RESULT_CHARACTERS),
  };
  return reader.problem === undefined ? read : { ...read, state: 'REFUSED', result: reader.problem };
}

const isWaiting = eq(handovers.state, 'WAITING');

/** The lock on the repository's row: of two that submit the same at once, the second finds that of the first. */
async function request(db: Database, asked: Parameters<HandoverStore['request']>[0]): Promise<HandoverRequested> {
  const { repositoryId, contentHash, commit, systems, by, person, at } = asked;
  return await db.transaction(async (tx) => {
    await tx.select({ id: repositories.id }).from(repositories).where(eq(repositories.id, repositoryId)).for('no key update');
    const same = await sameAgain(tx, repositoryId, contentHash);
    if (same !== undefined) return { kind: 'requested', id: same, isRepeat: true };
    const [waiting] = await tx
      .select({ count: count(), own: sql<number>`count(*) filter (where ${handovers.person} = ${storableText(person, 200)})::int` })
      .from(handovers)
      .where(and(eq(handovers.repositoryId, repositoryId), isWaiting));
    if ((waiting?.own ?? 0) >= MAX_WAITING_HANDOVERS_OF_ONE) return { kind: 'too-many', whose: 'own' };
    if ((waiting?.count ?? 0) >= MAX_WAITING_HANDOVERS) return { kind: 'too-many', whose: 'all' };
    const [row] = await tx
      .insert(handovers)
      .values({
        repositoryId,
        contentHash,
        commit: commit ?? null,
        systems: [...systems].map(([host, path]) => [host, path, null]),
        by: storableText(by, 200),
        person: storableText(person, 200),
        at,
        state: 'WAITING',
      })
      .returning({ id: handovers.id });
    if (row === undefined) throw missingRow('handover', contentHash);
    await notify(tx, { topic: 'repository', id: repositoryId });
    return { kind: 'requested', id: row.id, isRepeat: false };
  });
}

/** The same file, while it waits or is the newest revision: after something newer it is another order. */
async function sameAgain(tx: Database, repositoryId: string, contentHash: string): Promise<string | undefined> {
  const [last] = await tx
    .select({ id: handovers.id, state: handovers.state })
    .from(handovers)
    .where(and(eq(handovers.repositoryId, repositoryId), eq(handovers.contentHash, contentHash)))
    .orderBy(desc(handovers.at))
    .limit(1);
  if (last === undefined || last.state === 'REFUSED') return undefined;
  if (last.state === 'WAITING') return last.id;
  const [newest] = await tx
    .select({ handoverId: revisions.handoverId, state: revisions.state })
    .from(revisions)
    .where(and(eq(revisions.repositoryId, repositoryId), isReadableCounter(revisions.sequence)))
    .orderBy(desc(revisions.sequence))
    .limit(1);
  const isIt = newest?.handoverId === last.id;
  return isIt && (newest.state === 'PUBLISHED' || !isEndedRevision(newest.state)) ? last.id : undefined;
}

/**
 * The lock on the repository's row serialises this with the commits that are received: no two get one number, and the head of the branch is what it was
 * when the commit was found in it.
 */
async function take(
  db: Database,
  id: string,
  commit: NamedCommit,
  systems: HandoverSystems,
  at: number,
): Promise<Revision | 'busy' | 'moved' | undefined> {
  return await db.transaction(async (tx) => {
    const [row] = await tx
      .select({ repositoryId: handovers.repositoryId, at: handovers.at })
      .from(handovers)
      .where(and(eq(handovers.id, id), isWaiting))
      .for('update');
    if (row === undefined) return undefined;
    const { repositoryId } = row;
    const [repository] = await tx
      .select({ head: repositories.acceptedCommit })
      .from(repositories)
      .where(eq(repositories.id, repositoryId))
      .for('no key update');
    if (commit.head !== undefined && repository?.head !== commit.head) return 'moved';
    const unfinished = await tx
      .select({ id: revisions.id })
      .from(revisions)
      .where(and(eq(revisions.repositoryId, repositoryId), isUnfinishedRevision(revisions.state)))
      .limit(MAX_UNFINISHED);
    if (unfinished.length >= MAX_UNFINISHED) return 'busy';
    const sequence = await giveSequence(tx, repositoryId);
    const [made] = await tx
      .insert(revisions)
      .values({
        repositoryId,
        sha: commit.sha,
        sequence,
        state: 'RECEIVED',
        subject: storableText(commit.subject),
        authorName: storableText(commit.authorName),
        authorEmail: storableText(commit.authorEmail),
        committedAt: boundedTime(commit.committedAt),
        receivedAt: boundedTime(row.at),
        fetchedAt: at,
        handoverId: id,
        signers: commit.signers === undefined ? null : [...commit.signers],
      })
      .returning();
    if (made === undefined) throw missingRow('revision', commit.sha);
    const known = [...systems].map(([host, { toplevel, system }]) => [host, toplevel, system ?? null]);
    await tx.update(handovers).set({ state: 'TAKEN', endedAt: at, result: '', systems: known }).where(eq(handovers.id, id));
    await notify(tx, { topic: 'repository', id: repositoryId }, { topic: 'revision', id: made.id });
    return { ...withoutNulls(made), warnings: [], glass: undefined, policy: DEFAULT_POLICY };
  });
}

async function systemsOf(db: Database, id: string): Promise<HandoverSystems> {
  const [row] = await db.select({ systems: handovers.systems }).from(handovers).where(eq(handovers.id, id));
  if (row === undefined) throw missingRow('handover', id);
  const parsed = v.safeParse(SystemsColumn, row.systems);
  if (!parsed.success) return new Map();
  return new Map(parsed.output.map(([host, toplevel, system]) => [host as HostName, { toplevel, system: system ?? undefined }]));
}

export function createHandoverStore(db: Database): HandoverStore {
  return {
    request: async (handover) => await request(db, handover),
    async get(id) {
      const [row] = await db.select(LISTED).from(handovers).where(eq(handovers.id, id));
      return row === undefined ? undefined : toHandover(row);
    },
    systems: async (id) => await systemsOf(db, id),
    async waiting(repositoryId) {
      const isOf = and(eq(handovers.repositoryId, repositoryId), isWaiting);
      return (await db.select(LISTED).from(handovers).where(isOf).orderBy(asc(handovers.at), asc(handovers.id))).map(toHandover);
    },
    async note(id, result) {
      await db
        .update(handovers)
        .set({ result: storableText(result, MAX_RESULT_CHARACTERS) })
        .where(and(eq(handovers.id, id), isWaiting));
    },
    refuse: async (id, result, at, entry) =>
      await writeLogged(db, async (tx, log) => {
        const ended = await tx
          .update(handovers)
          // Its systems are of no use any more, and may be thousands.
          .set({ state: 'REFUSED', result: storableText(result, MAX_RESULT_CHARACTERS), endedAt: at, systems: [] })
          .where(and(eq(handovers.id, id), isWaiting))
          .returning({ id: handovers.id });
        if (ended.length > 0) await log([entry]);
        return ended.length > 0;
      }),
    take: async (id, commit, systems, at) => await take(db, id, commit, systems, at),
    async revisionOf(id) {
      const [row] = await db.select({ id: revisions.id }).from(revisions).where(eq(revisions.handoverId, id)).limit(1);
      return row?.id;
    },
    prune: async (before) =>
      await deleteInBatches(
        db,
        handovers,
        sql`handovers.ended_at < ${before} and not exists (select from revisions r where r.handover_id = handovers.id)`,
      ),
  };
}
