import { and, desc, eq, lt } from 'drizzle-orm';
import type { Database } from './database.ts';
import { wakeRepository } from './repositories.ts';
import type { DeliveryStore } from './store.ts';
import { webhookDeliveries } from './tables/index.ts';

export function createDeliveryStore(db: Database): DeliveryStore {
  return {
    record: async (delivery) =>
      await db.transaction(async (tx) => {
        const stored = await tx.insert(webhookDeliveries).values(delivery).onConflictDoNothing().returning({ id: webhookDeliveries.id });
        if (stored.length === 0) return 'duplicate';
        if (delivery.repositoryId !== undefined && delivery.outcome === 'accepted') await wakeRepository(tx, delivery.repositoryId);
        return 'stored';
      }),
    async latestFor(repositoryId, commit) {
      const [row] = await db
        .select({ receivedAt: webhookDeliveries.receivedAt })
        .from(webhookDeliveries)
        .where(and(eq(webhookDeliveries.repositoryId, repositoryId), eq(webhookDeliveries.after, commit)))
        .orderBy(desc(webhookDeliveries.receivedAt))
        .limit(1);
      return row?.receivedAt;
    },
    async prune(before) {
      const pruned = await db.delete(webhookDeliveries).where(lt(webhookDeliveries.receivedAt, before)).returning({ id: webhookDeliveries.id });
      return pruned.length;
    },
  };
}
