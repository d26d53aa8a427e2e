import { and, desc, eq, lt, sql } from 'drizzle-orm';
import { boundedTime, FORGE_LOGIN_FORM, type CommitSha } from '@floe/model';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import { wakeRepository } from './repositories.ts';
import type { Delivery } from './records.ts';
import type { DeliveryStore } from './delivery-contract.ts';
import { webhookDeliveries } from './tables/index.ts';

/** A repeated delivery triggers a look at most this often. */
const REDELIVERY_MS = 5_000;
/** Number of the newest pushes that are awaited, so that an old one that is repeated does not hide a newer one. */
const AWAITED_PUSHES = 20;

/** Whether the delivery was stored before, longer ago than {@link REDELIVERY_MS}; then its time is updated, and what it is of: the branch may be followed only now. */
async function isRenewed(db: Database, { forge, id, receivedAt, outcome }: Delivery): Promise<boolean> {
  const renewed = await db
    .update(webhookDeliveries)
    .set({ receivedAt, outcome })
    .where(and(eq(webhookDeliveries.forge, forge), eq(webhookDeliveries.id, id), lt(webhookDeliveries.receivedAt, receivedAt - REDELIVERY_MS)))
    .returning({ id: webhookDeliveries.id });
  return renewed.length > 0;
}

/** As long as a release is good. */
const KEEP_PUSHES_MS = 366 * 24 * 3600_000;

export function createDeliveryStore(db: Database): DeliveryStore {
  return {
    record: async (delivery) =>
      await db.transaction(async (tx) => {
        const stored = await tx.insert(webhookDeliveries).values(delivery).onConflictDoNothing().returning({ id: webhookDeliveries.id });
        const isNew = stored.length > 0;
        const isTracked = delivery.repositoryId !== undefined && delivery.outcome === 'accepted';
        const isHint = isTracked || (delivery.repositoryId !== undefined && delivery.outcome === 'testing-branch');
        // An administrator may ask the forge to deliver again because nothing happened. A recorded push can be sent again by
        // anyone who has it: it costs a look every five seconds at most.
        const isNews = isHint && (isNew || (await isRenewed(tx, delivery)));
        if (isNews) await wakeRepository(tx, delivery.repositoryId);
        // Who pushed is known by it, which a rollout may wait for.
        if (isTracked && isNews && delivery.pusher !== undefined) await notify(tx, { topic: 'host', host: '*' });
        return isNew ? 'stored' : 'duplicate';
      }),
    async latestFor(repositoryId, commit) {
      const [row] = await db
        .select({ receivedAt: webhookDeliveries.receivedAt })
        .from(webhookDeliveries)
        .where(and(eq(webhookDeliveries.repositoryId, repositoryId), eq(webhookDeliveries.after, commit)))
        .orderBy(desc(webhookDeliveries.receivedAt))
        .limit(1);
      return row === undefined || row.receivedAt !== boundedTime(row.receivedAt) ? undefined : row.receivedAt;
    },
    async pusherOf(repositoryId, ref, commit) {
      const { repositoryId: id, ref: moved, after, pusher, receivedAt } = webhookDeliveries;
      const [row] = await db
        .select({ pusher })
        .from(webhookDeliveries)
        .where(and(eq(id, repositoryId), eq(after, commit), eq(moved, ref)))
        .orderBy(desc(receivedAt))
        .limit(1);
      return row?.pusher != null && FORGE_LOGIN_FORM.test(row.pusher) ? row.pusher : undefined;
    },
    async newestPushes(repositoryId) {
      const rows = await db
        .select({ after: webhookDeliveries.after, receivedAt: webhookDeliveries.receivedAt })
        .from(webhookDeliveries)
        .where(and(eq(webhookDeliveries.repositoryId, repositoryId), eq(webhookDeliveries.outcome, 'accepted')))
        .orderBy(desc(webhookDeliveries.receivedAt))
        .limit(AWAITED_PUSHES);
      return rows.map((row) => ({ after: (row.after ?? undefined) as CommitSha | undefined, receivedAt: row.receivedAt }));
    },
    async prune(before) {
      const { receivedAt, outcome } = webhookDeliveries;
      // They say who pushed what a ring has not had, which may be long ago.
      const isOld = sql`${receivedAt} < case when ${outcome} = 'accepted' then ${before - KEEP_PUSHES_MS}::bigint else ${before}::bigint end`;
      return await deleteInBatches(db, webhookDeliveries, isOld);
    },
  };
}
