import { hasAsked, missingPeople, storableText, type Word } from '@floe/model';
import { and, eq, isNull, or, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import type { GlassStore } from './glass-contract.ts';
import { notify } from './hints.ts';
import { moveRevision } from './revision-moves.ts';
import { RowReader } from './row-reader.ts';
import { GlassColumn } from './rows.ts';
import { revisions } from './tables/index.ts';

const MAX_REASON_CHARACTERS = 500;

// A commit whose policy is below the floor of the server's settings is refused, unless enough administrators let this one pass.

export async function noteBelowFloor(db: Database, id: string, floor: string): Promise<void> {
  const isOther = sql`${revisions.glassFloor} is distinct from ${floor}`;
  await db
    .update(revisions)
    .set({ glass: [], glassAt: null, glassFloor: floor })
    .where(and(eq(revisions.id, id), or(isNull(revisions.glass), isOther)));
}

export async function breakGlass(db: Database, id: string, word: Word, needed: 1 | 2): ReturnType<GlassStore['breakGlass']> {
  return await db.transaction(async (tx) => {
    const [row] = await tx
      .select({ state: revisions.state, glass: revisions.glass, glassAt: revisions.glassAt })
      .from(revisions)
      .where(eq(revisions.id, id))
      .for('update');
    const said = row === undefined || row.glass === null ? undefined : new RowReader().json('glass', row.glass, GlassColumn);
    if (row?.state !== 'REJECTED' || row.glassAt !== null || said === undefined) return 'stale';
    if (hasAsked(said, word) && missingPeople(said, needed) > 0) return 'repeated';
    const glass = [...said, { ...word, reason: storableText(word.reason, MAX_REASON_CHARACTERS) }];
    if (missingPeople(glass, needed) === 0) {
      await moveRevision(tx, id, { event: 'glass-broken', at: word.at, also: { glass, glassAt: word.at } });
      return 'broken';
    }
    await tx.update(revisions).set({ glass }).where(eq(revisions.id, id));
    await notify(tx, { topic: 'revision', id });
    return 'waits';
  });
}
