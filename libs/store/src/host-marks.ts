import { and, eq, lt, sql } from 'drizzle-orm';
import { MAX_COUNTER, storableText, type HostName } from '@floe/model';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import { lockHosts } from './host-rows.ts';
import { COUNTS_NO_MORE, CURRENT_ROLLOUTS } from './releases-that-count.ts';
import { replaceSubmission } from './submissions.ts';
import type { HostStore } from './store.ts';
import { directives, hosts, pins, quarantines, releases } from './tables/index.ts';

/** Per host, by its counter: a host that increases its counter with each connection cannot fill more. */
const KEEP_DIRECTIVES = 200;

type Marks = Pick<
  HostStore,
  'pin' | 'unpin' | 'quarantine' | 'pruneQuarantines' | 'noteRefusal' | 'forgetRefusals' | 'saveDirectives' | 'pruneDirectives'
>;

/** Pins, holds, quarantines, and the history of directives. */
export function createHostMarks(db: Database): Marks {
  /** Runs a write, and sends a hint about its host when it reports a change. */
  async function writeFor<Result>(
    host: HostName,
    write: (tx: Database) => Promise<{ readonly result: Result; readonly isChange: boolean }>,
  ): Promise<Result> {
    return await db.transaction(async (tx) => {
      const { result, isChange } = await write(tx);
      if (isChange) await notify(tx, { topic: 'host', host });
      return result;
    });
  }
  return {
    pin: async ({ host, kind, releaseId, reason, by, isPermitted = false, word, at, expiresAt }) =>
      await writeFor(host, async (tx) => {
        // Locked, so that it is not forgotten before the insert.
        const there = await tx.select({ host: hosts.host }).from(hosts).where(eq(hosts.host, host)).for('key share');
        if (there.length === 0) return { result: false, isChange: false };
        const set = { releaseId, reason: storableText(reason), by, isPermitted, word: word ?? null, createdAt: at, expiresAt: expiresAt ?? null };
        await tx
          .insert(pins)
          .values({ host, kind, ...set })
          .onConflictDoUpdate({ target: [pins.host, pins.kind], set });
        if (kind === 'pin') await replaceSubmission(tx, host, at, `${by} pinned the host to something else`);
        return { result: true, isChange: true };
      }),
    unpin: async (host, kind) =>
      await writeFor(host, async (tx) => {
        const removed = await tx
          .delete(pins)
          .where(and(eq(pins.host, host), eq(pins.kind, kind)))
          .returning({ host: pins.host });
        return { result: undefined, isChange: removed.length > 0 };
      }),
    quarantine: async (host, toplevel, reason, at) =>
      await writeFor(host, async (tx) => {
        const released = tx
          .select({ id: releases.id })
          .from(releases)
          .where(and(eq(releases.host, host), eq(releases.toplevel, toplevel)))
          .limit(1);
        // A host's report about a system that was never released to it has no meaning, and would fill the table.
        if ((await released).length === 0) return { result: undefined, isChange: false };
        const row = { host, toplevel, reason: storableText(reason), createdAt: at };
        const added = await tx.insert(quarantines).values(row).onConflictDoNothing().returning({ host: quarantines.host });
        return { result: undefined, isChange: added.length > 0 };
      }),
    async pruneQuarantines(before) {
      const isOf = sql`releases.host = quarantines.host and releases.toplevel = quarantines.toplevel`;
      return await deleteInBatches(
        db,
        quarantines,
        sql`(not exists (select from releases where ${isOf})
          or (quarantines.created_at < ${before} and not exists (select from releases where ${isOf} and not ${COUNTS_NO_MORE})))`,
        CURRENT_ROLLOUTS,
      );
    },
    noteRefusal: async (host, why, count, at) =>
      await writeFor(host, async (tx) => {
        const noted = await tx
          .update(hosts)
          .set({
            refusedCount: sql`least(${hosts.refusedCount}, ${MAX_COUNTER - count}::bigint) + ${count}::bigint`,
            refusedAt: at,
            refusedWhy: storableText(why, 1_000),
          })
          .where(eq(hosts.host, host))
          .returning({ host: hosts.host });
        return { result: undefined, isChange: noted.length > 0 };
      }),
    async forgetRefusals(before) {
      const isOld = lt(hosts.refusedAt, before);
      return await db.transaction(async (tx) => {
        await lockHosts(tx, isOld);
        const set = { refusedCount: 0, refusedAt: null, refusedWhy: null };
        return (await tx.update(hosts).set(set).where(isOld).returning({ host: hosts.host })).length;
      });
    },
    async pruneDirectives(before) {
      const newer = sql`select from directives newer where newer.host = directives.host and newer.epoch > directives.epoch`;
      return await deleteInBatches(db, directives, sql`directives.issued_at < ${before} and exists (${newer})`);
    },
    async saveDirectives(rows) {
      if (rows.length === 0) return;
      // With the limit the planner finds each host's oldest directive by the index; a join would read the directives of all
      // hosts.
      const told = rows.map(({ releaseId, issuedAt, ...row }) => ({ ...row, release_id: releaseId, issued_at: issuedAt }));
      await db.execute(sql`
        with told as (
          select * from jsonb_to_recordset(${JSON.stringify(told)}::text::jsonb)
            as d (host text, epoch bigint, release_id text, mode text, issued_at bigint)
        ), outdated as (
          delete from directives where ctid = any(array(
            select o.id from told t cross join lateral (
              select d.ctid as id from directives d where d.host = t.host and d.epoch <= t.epoch - ${KEEP_DIRECTIVES} limit ${KEEP_DIRECTIVES}
            ) as o))
        )
        insert into directives (host, epoch, release_id, mode, issued_at)
        select host, epoch, release_id, mode, issued_at from told t
        where not exists (select from directives d where d.host = t.host and d.epoch = t.epoch and d.release_id = t.release_id)`);
    },
  };
}
