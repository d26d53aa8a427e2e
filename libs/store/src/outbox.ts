import {
  abandonStatus,
  boundedTime,
  claimStatus,
  MAX_COUNTER,
  MAX_LEASE_MS,
  newStatusEntry,
  postponeStatus,
  renewStatus,
  RING_CONTEXT,
  settleStatus,
  storableText,
  wantStatus,
  type StatusEntry,
} from '@floe/model';
import { and, asc, eq, gt, inArray, isNull, lt, lte, or, sql, type SQL } from 'drizzle-orm';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import { notify, type HintOrigin } from './hints.ts';
import type { Claimed, DueStatus, OutboxStore, WantedStatus } from './outbox-contract.ts';
import { statusOutbox } from './tables/index.ts';
import { isOpenStatus } from './tables/unfinished.ts';

type Row = typeof statusOutbox.$inferSelect;

const MAX_ATTEMPTS = 1_000_000;

function bounded(count: number, lowest: number, highest: number): number {
  return Math.min(Math.max(Math.trunc(count), lowest), highest);
}

function timeOrNone(time: number | null): number | undefined {
  return time === null ? undefined : boundedTime(time);
}

/** Whatever a hand or another version left there: one status must not stop the claims of all. */
function toEntry(row: Row): StatusEntry {
  const version = bounded(row.version, 1, MAX_COUNTER);
  return {
    ...row,
    lastError: row.lastError ?? undefined,
    dueAt: timeOrNone(row.dueAt),
    claimedUntil: timeOrNone(row.claimedUntil),
    unsureSince: timeOrNone(row.unsureSince),
    checkAt: timeOrNone(row.checkAt),
    updatedAt: boundedTime(row.updatedAt),
    version,
    sentVersion: bounded(row.sentVersion, 0, version),
    attempts: bounded(row.attempts, 0, MAX_ATTEMPTS),
    claim: bounded(row.claim, 0, MAX_COUNTER),
    posts: bounded(row.posts, 0, MAX_ATTEMPTS),
    wordsFrom: boundedTime(row.wordsFrom),
    verdictFrom: boundedTime(row.verdictFrom),
  };
}

async function write(tx: Database, id: string, entry: StatusEntry): Promise<void> {
  await tx
    .update(statusOutbox)
    .set({
      state: entry.state,
      description: entry.description,
      targetUrl: entry.targetUrl,
      isUnderWay: entry.isUnderWay,
      version: entry.version,
      sentVersion: entry.sentVersion,
      attempts: entry.attempts,
      claim: entry.claim,
      claimedUntil: entry.claimedUntil ?? null,
      dueAt: entry.dueAt ?? null,
      unsureSince: entry.unsureSince ?? null,
      checkAt: entry.checkAt ?? null,
      posts: entry.posts,
      wordsFrom: entry.wordsFrom,
      verdictFrom: entry.verdictFrom,
      lastError: entry.lastError ?? null,
      updatedAt: entry.updatedAt,
    })
    .where(eq(statusOutbox.id, id));
}

/** The lock on the row lets one writer after another decide by what the one before it wrote. */
async function change(tx: Database, id: string, decide: (entry: StatusEntry) => StatusEntry | undefined): Promise<StatusEntry | undefined> {
  const [row] = await tx.select().from(statusOutbox).where(eq(statusOutbox.id, id)).for('update');
  const next = row === undefined ? undefined : decide(toEntry(row));
  if (next !== undefined) await write(tx, id, next);
  return next;
}

function keyOf({ repositoryId, sha, context }: Pick<WantedStatus, 'repositoryId' | 'sha' | 'context'>): string {
  return `${repositoryId} ${sha} ${context}`;
}

async function putAll(db: Database, origin: HintOrigin, statuses: readonly WantedStatus[]): Promise<void> {
  if (statuses.length === 0) return;
  const shas = [...new Set(statuses.map(({ sha }) => sha))];
  const rows = await db.select().from(statusOutbox).where(inArray(statusOutbox.sha, shas));
  const there = new Map(rows.map((row) => [keyOf(row), row]));
  // Most are repeats, and those take no lock. In one order, so that two servers do not wait for each other.
  const news = statuses
    .flatMap((status) => (status.context === RING_CONTEXT ? ofEachRing(status, rows) : [status]))
    .filter((status) => {
      const row = there.get(keyOf(status));
      return row === undefined ? status.onlyOverPending !== true : wantedEntry(toEntry(row), status) !== undefined;
    })
    .toSorted((left, right) => (keyOf(left) < keyOf(right) ? -1 : 1));
  if (news.length === 0) return;
  await db.transaction(async (tx) => {
    let isChanged = false;
    for (const status of news) isChanged = (await put(tx, status)) || isChanged;
    if (isChanged) await notify(tx, { topic: 'outbox', origin });
  });
}

function ofEachRing(status: WantedStatus, rows: readonly Row[]): readonly WantedStatus[] {
  const rings = rows.filter(
    ({ repositoryId, sha, context }) => repositoryId === status.repositoryId && sha === status.sha && context.startsWith(RING_CONTEXT),
  );
  return rings.map(({ context }) => ({ ...status, context, onlyOverPending: true }));
}

function wantedEntry(entry: StatusEntry, status: WantedStatus): StatusEntry | undefined {
  if (status.onlyOverPending === true && entry.state !== 'pending') return undefined;
  return wantStatus(entry, { ...status, description: storableText(status.description) }, status.now);
}

/** True when it is news. */
async function put(tx: Database, status: WantedStatus): Promise<boolean> {
  const { repositoryId, sha, context, now } = status;
  const isIt = and(eq(statusOutbox.repositoryId, repositoryId), eq(statusOutbox.sha, sha), eq(statusOutbox.context, context));
  const { state, description, targetUrl, isUnderWay, dueAt, updatedAt } = newStatusEntry(
    { ...status, description: storableText(status.description) },
    now,
  );
  const values = { repositoryId, sha, context, state, description, targetUrl, isUnderWay, dueAt, updatedAt };
  const isNew = status.onlyOverPending !== true;
  const made = isNew ? await tx.insert(statusOutbox).values(values).onConflictDoNothing().returning({ id: statusOutbox.id }) : [];
  if (made.length > 0) return true;
  const [there] = await tx.select({ id: statusOutbox.id }).from(statusOutbox).where(isIt);
  return there !== undefined && (await change(tx, there.id, (entry) => wantedEntry(entry, status))) !== undefined;
}

function ofRepository(repositoryId: string | undefined): SQL | undefined {
  return repositoryId === undefined ? undefined : eq(statusOutbox.repositoryId, repositoryId);
}

/** `skip locked` lets two senders share the work instead of waiting for each other. */
async function claimDue(db: Database, { now, limit, leaseMs, repositoryId: only }: Parameters<OutboxStore['claimDue']>[0]): Promise<DueStatus[]> {
  const { dueAt, checkAt, claimedUntil, updatedAt } = statusOutbox;
  return await db.transaction(async (tx) => {
    const rows = await tx
      .select()
      .from(statusOutbox)
      .where(
        and(
          ofRepository(only),
          isOpenStatus(statusOutbox),
          or(lte(dueAt, now), lte(checkAt, now)),
          or(isNull(claimedUntil), lte(claimedUntil, now), gt(claimedUntil, now + MAX_LEASE_MS)),
        ),
      )
      .orderBy(asc(dueAt), asc(checkAt), asc(updatedAt))
      .limit(limit)
      .for('update', { skipLocked: true });
    const claimed: DueStatus[] = [];
    for (const row of rows.toSorted((left, right) => left.updatedAt - right.updatedAt)) {
      const { id, repositoryId, sha, context } = row;
      const entry = claimStatus(toEntry(row), now, leaseMs);
      await write(tx, id, entry);
      const { state, description, targetUrl, isUnderWay, version, attempts, claim, unsureSince } = entry;
      const text = { state, description, targetUrl, isUnderWay };
      claimed.push({
        id,
        repositoryId,
        sha,
        context,
        ...text,
        version,
        attempts: attempts + 1,
        claim,
        claimedAt: now,
        isUnsure: unsureSince !== undefined,
      });
    }
    return claimed;
  });
}

export function createOutboxStore(db: Database, origin: HintOrigin): OutboxStore {
  /** What a holder says of its claim. Others are told of a newer status, which waited for it. */
  async function mark({ id }: Claimed, decide: (entry: StatusEntry) => StatusEntry | undefined): Promise<void> {
    await db.transaction(async (tx) => {
      const next = await change(tx, id, decide);
      if (next?.dueAt !== undefined && next.attempts === 0) await notify(tx, { topic: 'outbox' });
    });
  }
  return {
    putAll: async (statuses) => await putAll(db, origin, statuses),
    claimDue: async (options) => await claimDue(db, options),
    renew: async (claimed, now, leaseMs) =>
      await db.transaction(async (tx) => (await change(tx, claimed.id, (entry) => renewStatus(entry, claimed, now, leaseMs))) !== undefined),
    markSent: async (claimed, at) => await mark(claimed, (entry) => settleStatus(entry, claimed, { at, isPosted: true })),
    markSeen: async (claimed, at) => await mark(claimed, (entry) => settleStatus(entry, claimed, { at, isPosted: false })),
    async markRetry(claimed, text, dueAt, missedAt) {
      const error = storableText(text);
      await mark(claimed, (entry) => postponeStatus(entry, claimed, { dueAt, error, missedAt }));
    },
    async markFailed(claimed, text, at) {
      const error = storableText(text);
      await mark(claimed, (entry) => abandonStatus(entry, claimed, { at, error }));
    },
    async prune(before) {
      const { dueAt, checkAt, updatedAt } = statusOutbox;
      // As long as its commit is told of, what was posted counts towards what a forge takes of one line.
      const isTold = sql`exists (select from revisions r where r.repository_id = status_outbox.repository_id and r.sha = status_outbox.sha)`;
      return await deleteInBatches(db, statusOutbox, sql`${isNull(dueAt)} and ${isNull(checkAt)} and ${lt(updatedAt, before)} and not ${isTold}`);
    },
    async nextDueAt(repositoryId) {
      // The minimum over `statusDueAt` of libs/model: both functions leave out what is null.
      const dueAt = sql<number | null>`min(greatest(least(${statusOutbox.dueAt}, ${statusOutbox.checkAt}), ${statusOutbox.claimedUntil}))`;
      const [row] = await db
        .select({ dueAt: dueAt.mapWith(statusOutbox.dueAt) })
        .from(statusOutbox)
        .where(and(ofRepository(repositoryId), isOpenStatus(statusOutbox)));
      return row?.dueAt ?? undefined;
    },
  };
}
