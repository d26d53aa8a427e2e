import { ROLLOUT_STATES, type RolloutState } from '@floe/model';
import { and, desc, eq, sql, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import { notify, type HintOrigin } from './hints.ts';
import { isReadableCounter } from './unreadable.ts';
import type { Rollout } from './records.ts';
import { RowReader } from './row-reader.ts';
import { withoutNulls } from './rows.ts';
import type { RolloutStore } from './store.ts';
import { revisions, rollouts } from './tables/index.ts';

/** Changes the state of a rollout that is in `from`: because of the condition one of two servers succeeds, and the other gets `false`. */
async function move(db: Database, origin: HintOrigin, id: string, from: RolloutState, to: RolloutState, at: number): Promise<boolean> {
  // Of a commit that is evaluated again nothing is decided: it has no hosts for now.
  const isOfPublished = sql`exists (select from ${revisions} where ${revisions.id} = ${rollouts.revisionId} and ${revisions.state} = 'PUBLISHED')`;
  return await db.transaction(async (tx) => {
    const [moved] = await tx
      .update(rollouts)
      .set({ state: to, completedAt: to === 'COMPLETE' ? at : null })
      .where(and(eq(rollouts.id, id), eq(rollouts.state, from), isOfPublished))
      .returning({ revisionId: rollouts.revisionId });
    if (moved === undefined) return false;
    await notify(tx, { topic: 'revision', id: moved.revisionId, origin });
    return true;
  });
}

/** The rollout of the newest matching revision, with the revision's sequence. */
export async function newestRollout(db: Database, where: SQL | undefined): Promise<(Rollout & { readonly sequence: number }) | undefined> {
  const [row] = await db
    .select({ rollout: rollouts, sequence: revisions.sequence })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(and(where, isReadableCounter(revisions.sequence)))
    .orderBy(desc(revisions.sequence))
    .limit(1);
  if (row === undefined) return undefined;
  return { ...readRollout(row.rollout), sequence: new RowReader().counter('sequence', row.sequence) };
}

export function readRollout(row: typeof rollouts.$inferSelect): Rollout {
  const reader = new RowReader();
  return {
    ...withoutNulls(row),
    // A rollout in an unknown state is left alone.
    state: reader.one('state', row.state, ROLLOUT_STATES, 'PAUSED'),
    startedAt: reader.time('started_at', row.startedAt),
    completedAt: reader.timeOrNone('completed_at', row.completedAt),
  };
}

export function toRollout(row: Rollout & { readonly sequence: number }): Rollout {
  const { sequence: _, ...rollout } = row;
  return rollout;
}

export function createRolloutStore(db: Database, origin: HintOrigin): Omit<RolloutStore, 'stories'> {
  return {
    setState: async (id, from, to, at) => await move(db, origin, id, from, to, at),
  };
}
