import { AuditChainCheck, storableText, type AuditHead } from '@floe/model';
import { auditContent, auditHash } from '@floe/runtime';
import { and, asc, desc, eq, gt, isNotNull, isNull, like, lt, or, sql } from 'drizzle-orm';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import type { AuditEntry, ListedAuditEntry } from './records.ts';
import { RowReader } from './row-reader.ts';
import type { AuditStore, ChainedAuditEntry } from './audit-contract.ts';
import { auditLog } from './tables/index.ts';
import { readableCounter } from './unreadable.ts';

const DAY_MS = 24 * 3600_000;
/** A host or a commit, or what a client wrote in the place of one; indexed, so it must be short. */
const MAX_SUBJECT = 256;
/** Digits that stand for a commit, but not all of them. */
const COMMIT_START = /^[0-9a-f]{7,39}$/;

function toRow({ at, actor, action, subject, detail }: AuditEntry) {
  return { at, actor: storableText(actor), action, subject: storableText(subject, MAX_SUBJECT), detail: storableText(detail) };
}

/** An arbitrary fixed number: who appends holds this lock, so that each entry follows the one before it. */
const APPEND_LOCK = 0x6c_6f67;
const ROWS_PER_PAGE = 1_000;
/** Later than any entry that a right clock made: such a time does not keep what is before it. */
const TEN_YEARS_MS = 10 * 365 * DAY_MS;

type Row = typeof auditLog.$inferSelect;
type ChainedContent = Pick<Row, 'at' | 'actor' | 'action' | 'subject' | 'detail' | 'refusedOn'>;

async function headOf(db: Database): Promise<AuditHead | undefined> {
  const [last] = await db
    .select({ id: auditLog.id, at: auditLog.at, hash: auditLog.hash })
    .from(auditLog)
    .where(isNotNull(auditLog.hash))
    .orderBy(desc(auditLog.id))
    .limit(1);
  return last === undefined ? undefined : { id: last.id, at: last.at, hash: last.hash ?? '' };
}

/** Of two that append at once, one waits: otherwise both would follow the same entry. */
async function appendChained(
  tx: Database,
  rows: readonly ChainedContent[],
  more: Pick<Row, 'count' | 'lastAt'>,
  after?: string | null,
): Promise<void> {
  if (rows.length === 0) return;
  let last = (after === undefined ? (await headOf(tx))?.hash : after) ?? '';
  const chained = rows.map((row) => ({ ...row, ...more, hash: (last = auditHash(last, auditContent(row))) }));
  await tx.insert(auditLog).values(chained);
}

async function append(db: Database, entry: AuditEntry): Promise<void> {
  await writeLogged(db, async (_tx, log) => await log([entry]));
}

/**
 * The hash of the last entry, as a column of another statement of {@link writeLogged}, that has written no entry yet: who has it appends without
 * asking for it.
 */
export const LAST_HASH = sql<string | null>`(select l.hash from audit_log l where l.hash is not null order by l.id desc limit 1)`;

/** `after`: {@link LAST_HASH}, where it was read. */
type Log = (entries: readonly AuditEntry[], after?: string | null) => Promise<void>;

/**
 * Writes a decision, and its entries where `log` is called. The lock closes a race: of two who decide at once, the one whose word counts could be
 * the first in the log. It comes before all locks of rows, and nobody appends who holds a row that such a decision locks.
 */
export async function writeLogged<Result>(db: Database, write: (tx: Database, log: Log) => Promise<Result>): Promise<Result> {
  return await db.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${APPEND_LOCK})`);
    return await write(tx, async (entries, after) => {
      const rows = entries.map((entry) => ({ ...toRow(entry), refusedOn: null }));
      await appendChained(tx, rows, { count: 1, lastAt: null }, after);
    });
  });
}

/** Concurrent refusals, also of several servers, are all counted in one row: the lock is taken before it is looked for. */
async function countRefusals(db: Database, refusal: AuditEntry, count: number): Promise<void> {
  const row = toRow(refusal);
  const refusedOn = Math.floor(refusal.at / DAY_MS);
  await db.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${APPEND_LOCK})`);
    const isSame = and(eq(auditLog.actor, row.actor), eq(auditLog.action, row.action), eq(auditLog.refusedOn, refusedOn));
    const counted = await tx
      .update(auditLog)
      .set({ count: sql`${readableCounter(auditLog.count)} + ${count}`, lastAt: refusal.at, subject: row.subject, detail: row.detail })
      .where(isSame)
      .returning({ id: auditLog.id });
    if (counted.length === 0) await appendChained(tx, [{ ...row, refusedOn }], { count, lastAt: refusal.at });
  });
}

async function check(db: Database, { prunedBefore, heads }: Parameters<AuditStore['check']>[0]): ReturnType<AuditStore['check']> {
  const chain = new AuditChainCheck({ hash: auditHash, prunedBefore, heads });
  for (let after: number | undefined; ;) {
    const rows = await db
      .select()
      .from(auditLog)
      .where(after === undefined ? undefined : gt(auditLog.id, after))
      .orderBy(asc(auditLog.id))
      .limit(ROWS_PER_PAGE);
    for (const row of rows) chain.take({ id: row.id, at: row.at, content: auditContent(row), hash: row.hash });
    after = rows.at(-1)?.id;
    if (rows.length < ROWS_PER_PAGE) return chain.end();
  }
}

async function page(db: Database, limit: number, after: number | undefined): Promise<ChainedAuditEntry[]> {
  const { id, at, actor, action, subject, detail, refusedOn, count, lastAt, hash } = auditLog;
  return await db
    .select({ id, at, actor, action, subject, detail, refusedOn, count, lastAt, hash })
    .from(auditLog)
    .where(after === undefined ? undefined : gt(id, after))
    .orderBy(asc(id))
    .limit(limit);
}

/** From the beginning of the chain, so that it has no gap; the last one of these stays, for the next is chained to it. */
async function prune(db: Database, before: number): Promise<number> {
  const { id, at, hash } = auditLog;
  const recent = sql`select min(${id}) as id from ${auditLog} where ${hash} is not null and ${at} >= ${before} and ${at} < ${before + TEN_YEARS_MS}`;
  const anchor = sql`select max(${id}) as id from ${auditLog}, recent where ${hash} is not null and (recent.id is null or ${id} < recent.id)`;
  const isOld = or(and(isNull(hash), lt(at, before)), and(isNotNull(hash), sql`${id} < (select anchor.id from anchor)`));
  return await deleteInBatches(db, auditLog, isOld ?? sql`false`, sql`recent as (${recent}), anchor as (${anchor})`);
}

function fromRow(row: typeof auditLog.$inferSelect): ListedAuditEntry {
  const reader = new RowReader();
  return {
    id: row.id,
    at: reader.time('at', row.at),
    actor: storableText(row.actor),
    action: storableText(row.action, 64),
    subject: storableText(row.subject, MAX_SUBJECT),
    detail: storableText(row.detail),
    refused: row.refusedOn === null ? undefined : { count: reader.counter('count', row.count), lastAt: reader.time('last_at', row.lastAt ?? row.at) },
  };
}

export function createAuditStore(db: Database): AuditStore {
  return {
    append: async (entry) => await append(db, entry),
    countRefusals: async (refusal, count) => await countRefusals(db, refusal, count),
    async list({ limit, before, subject }) {
      const isAbout =
        subject === undefined
          ? undefined
          : or(eq(auditLog.subject, subject), COMMIT_START.test(subject) ? like(auditLog.subject, `${subject}%`) : undefined);
      const rows = await db
        .select()
        .from(auditLog)
        .where(and(before === undefined ? undefined : lt(auditLog.id, before), isAbout))
        .orderBy(desc(auditLog.id))
        .limit(limit);
      return rows.map(fromRow);
    },
    page: async (limit, after) => await page(db, limit, after),
    head: async () => await headOf(db),
    check: async (query) => await check(db, query),
    prune: async (before) => await prune(db, before),
  };
}
