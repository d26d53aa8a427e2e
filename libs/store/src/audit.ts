import { storableText } from '@floe/model';
import { and, desc, eq, like, lt, or, sql } from 'drizzle-orm';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import type { AuditEntry, ListedAuditEntry } from './records.ts';
import { RowReader } from './row-reader.ts';
import type { AuditStore } from './audit-contract.ts';
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

/** An upsert, so that concurrent refusals, also of several servers, are all counted in one row. */
async function countRefusals(db: Database, refusal: AuditEntry, count: number): Promise<void> {
  const row = toRow(refusal);
  await db
    .insert(auditLog)
    .values({ ...row, refusedOn: Math.floor(refusal.at / DAY_MS), count, lastAt: refusal.at })
    .onConflictDoUpdate({
      target: [auditLog.actor, auditLog.action, auditLog.refusedOn],
      targetWhere: sql`refused_on is not null`,
      set: { count: sql`${readableCounter(auditLog.count)} + excluded.count`, lastAt: refusal.at, subject: row.subject, detail: row.detail },
    });
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
    async append(entry) {
      await db.insert(auditLog).values(toRow(entry));
    },
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
    prune: async (before) => await deleteInBatches(db, auditLog, lt(auditLog.at, before)),
  };
}
