import { boundedTime, MAX_COUNTER, storableText, SUBMISSION_STATES, type HostName } from '@floe/model';
import { and, asc, eq, sql } from 'drizzle-orm';
import * as v from 'valibot';
import { writeLogged } from './audit.ts';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify } from './hints.ts';
import { giveSequence } from './next-sequence.ts';
import { RowReader } from './row-reader.ts';
import { Int8 } from './rows.ts';
import type { SubmissionStore } from './submission-contract.ts';
import type { Submission } from './submission-records.ts';
import { hosts, pins, releases, submissions } from './tables/index.ts';

const MAX_RESULT_CHARACTERS = 1_000;

type Row = typeof submissions.$inferSelect;

/** A row that cannot be read is none, and is replaced by the next. */
export function toSubmission(of: Row | null | undefined): Submission | undefined {
  if (of === null || of === undefined) return undefined;
  const { repositoryId, host, ...row } = of;
  const reader = new RowReader();
  const toplevel = reader.path('toplevel', row.toplevel);
  const state = reader.one('state', row.state, SUBMISSION_STATES, 'FAILED');
  if (toplevel === undefined || reader.problem !== undefined) return undefined;
  return {
    id: storableText(row.id, 64),
    repositoryId,
    host,
    toplevel,
    by: storableText(row.by, 200),
    reason: storableText(row.reason, 2_000),
    at: boundedTime(row.at),
    expiresAt: row.expiresAt === null ? undefined : boundedTime(row.expiresAt),
    state,
    endedAt: row.endedAt === null ? undefined : boundedTime(row.endedAt),
    result: storableText(row.result, MAX_RESULT_CHARACTERS),
  };
}

const isWaiting = eq(submissions.state, 'WAITING');

/** A newer order about what the host is kept on: one that waits comes to nothing. */
export async function replaceSubmission(tx: Database, host: HostName, at: number, result: string): Promise<boolean> {
  const replaced = await tx
    .update(submissions)
    .set({ state: 'FAILED', endedAt: at, result: storableText(result, MAX_RESULT_CHARACTERS) })
    .where(and(eq(submissions.host, host), isWaiting))
    .returning({ host: submissions.host });
  return replaced.length > 0;
}

async function request(db: Database, { repositoryId, host, ...asked }: Parameters<SubmissionStore['request']>[0]): Promise<string> {
  const { toplevel, by, reason, at, expiresAt } = asked;
  return await db.transaction(async (tx) => {
    const ended = { state: 'WAITING' as const, endedAt: null, result: '', sequence: null };
    const words = { by: storableText(by, 200), reason: storableText(reason, 2_000) };
    const set = { repositoryId, toplevel, ...words, at, expiresAt: expiresAt ?? null, ...ended, id: sql`gen_random_uuid()::text` };
    const [row] = await tx
      .insert(submissions)
      .values({ host, ...set })
      .onConflictDoUpdate({ target: submissions.host, set })
      .returning({ id: submissions.id });
    if (row === undefined) throw missingRow('submission', host);
    await notify(tx, { topic: 'host', host }, { topic: 'repository', id: repositoryId });
    return row.id;
  });
}

async function number(db: Database, id: string): Promise<number | undefined> {
  return await db.transaction(async (tx) => {
    const [row] = await tx
      .select({ sequence: submissions.sequence, repositoryId: submissions.repositoryId })
      .from(submissions)
      .where(and(eq(submissions.id, id), isWaiting))
      .for('update');
    if (row === undefined) return undefined;
    if (row.sequence !== null && row.sequence >= 0 && row.sequence <= MAX_COUNTER) return row.sequence;
    const sequence = await giveSequence(tx, row.repositoryId);
    await tx.update(submissions).set({ sequence }).where(eq(submissions.id, id));
    return sequence;
  });
}

export function createSubmissionStore(db: Database): SubmissionStore {
  /** Ends one that waits, with an entry in the log of decisions; of two who do it at once, one succeeds. */
  async function end(tx: Database, id: string, set: Pick<Row, 'state' | 'result'>, at: number): Promise<Row | undefined> {
    const [row] = await tx
      .update(submissions)
      .set({ state: set.state, result: storableText(set.result, MAX_RESULT_CHARACTERS), endedAt: at })
      .where(and(eq(submissions.id, id), isWaiting))
      .returning();
    if (row !== undefined) await notify(tx, { topic: 'host', host: row.host });
    return row;
  }
  return {
    request: async (submission) => await request(db, submission),
    async waiting(repositoryId) {
      const isOf = and(eq(submissions.repositoryId, repositoryId), isWaiting);
      const rows = await db.select().from(submissions).where(isOf).orderBy(asc(submissions.at), asc(submissions.host));
      return rows.flatMap((row) => toSubmission(row) ?? []);
    },
    async note(id, result) {
      const noted = await db
        .update(submissions)
        .set({ result: storableText(result, MAX_RESULT_CHARACTERS) })
        .where(and(eq(submissions.id, id), isWaiting))
        .returning({ host: submissions.host });
      for (const { host } of noted) await notify(db, { topic: 'host', host });
    },
    fail: async (id, result, at, entry) =>
      await writeLogged(db, async (tx, log) => {
        if ((await end(tx, id, { state: 'FAILED', result }, at)) === undefined) return false;
        await log([entry]);
        return true;
      }),
    cancel: async (host, result, at) =>
      await db.transaction(async (tx) => {
        const isCancelled = await replaceSubmission(tx, host, at, result);
        if (isCancelled) await notify(tx, { topic: 'host', host });
        return isCancelled;
      }),
    number: async (id) => await number(db, id),
    finish: async (id, release, at, entry) =>
      await writeLogged(db, async (tx, log) => {
        const row = await end(tx, id, { state: 'PUBLISHED', result: '' }, at);
        if (row === undefined) return false;
        const { host, repositoryId, by, reason, expiresAt } = row;
        const { sequence, toplevel, commit, issuedAt, envelope } = release;
        await tx
          .insert(releases)
          .values({ repositoryId, host, sequence, toplevel, commit, issuedAt, envelope, isSubmitted: true })
          .onConflictDoNothing();
        const [stored] = await tx
          .select({ id: releases.id })
          .from(releases)
          .where(and(eq(releases.host, host), eq(releases.sequence, sequence), eq(releases.toplevel, toplevel)));
        const [told] = await tx
          .select({ floor: sql`greatest(${hosts.acceptedSequence}, ${hosts.toldSequence}, coalesce(${hosts.desiredSequence}, 0))` })
          .from(hosts)
          .where(eq(hosts.host, host));
        if (stored === undefined || told === undefined) throw missingRow('release', host);
        // A commit may have been released while this one was signed.
        const isPermitted = sequence < v.parse(Int8, told.floor);
        const set = { releaseId: stored.id, reason, by, isPermitted, word: null, createdAt: at, expiresAt };
        await tx
          .insert(pins)
          .values({ host, kind: 'pin', ...set })
          .onConflictDoUpdate({ target: [pins.host, pins.kind], set });
        await log([entry]);
        return true;
      }),
  };
}
