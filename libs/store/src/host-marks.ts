import { and, asc, eq, sql } from 'drizzle-orm';
import { storableText, type HostName } from '@floe/model';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import type { HostStore } from './store.ts';
import { hosts, pins, quarantines } from './tables/index.ts';

type Marks = Pick<HostStore, 'pin' | 'unpin' | 'quarantine' | 'quarantines' | 'saveDirectives'>;

/** Pins, holds, quarantines, and the history of directives. */
export function createHostMarks(db: Database): Marks {
  /** Runs a write and hints at its host when it says that something changed. */
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
    pin: async ({ host, kind, releaseId, reason, by, at, expiresAt }) =>
      await writeFor(host, async (tx) => {
        const set = { releaseId, reason: storableText(reason), by, createdAt: at, expiresAt: expiresAt ?? null };
        await tx
          .insert(pins)
          .values({ host, kind, ...set })
          .onConflictDoUpdate({ target: [pins.host, pins.kind], set });
        return { result: undefined, isChange: true };
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
        const row = { host, toplevel, reason: storableText(reason), createdAt: at };
        const added = await tx.insert(quarantines).values(row).onConflictDoNothing().returning({ host: quarantines.host });
        return { result: undefined, isChange: added.length > 0 };
      }),
    quarantines: async (repositoryId) =>
      await db
        .select({ host: quarantines.host, toplevel: quarantines.toplevel, reason: quarantines.reason, at: quarantines.createdAt })
        .from(quarantines)
        .innerJoin(hosts, eq(hosts.host, quarantines.host))
        .where(eq(hosts.repositoryId, repositoryId))
        .orderBy(asc(quarantines.host), asc(quarantines.createdAt)),
    async saveDirectives(rows) {
      if (rows.length === 0) return;
      await db.execute(sql`
        insert into directives (host, epoch, release_id, mode, issued_at)
        select host, epoch, release_id, mode, issued_at
        from jsonb_to_recordset(${JSON.stringify(rows.map(({ releaseId, issuedAt, ...row }) => ({ ...row, release_id: releaseId, issued_at: issuedAt })))}::text::jsonb)
          as d (host text, epoch bigint, release_id text, mode text, issued_at bigint)`);
    },
  };
}
