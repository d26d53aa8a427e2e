import { MAX_COUNTER, storableText } from '@floe/model';
import { and, asc, eq, inArray, isNull, lt, lte, min, sql, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import type { DueStatus, OutboxStore } from './outbox-contract.ts';
import { statusOutbox } from './tables/index.ts';

/**
 * A changed status keeps `due_at` where there is one: it is the end of a running claim (to send past it could let the
 * older one land last) or the time that the forge asked to be left alone until.
 */
async function put(db: Database, status: Parameters<OutboxStore['put']>[0]): Promise<void> {
  const { repositoryId, sha, context, state, description, targetUrl, now, onlyOverPending = false } = status;
  await db.transaction(async (tx) => {
    const changed = await tx
      .insert(statusOutbox)
      .values({ repositoryId, sha, context, state, description: storableText(description), targetUrl, dueAt: now, updatedAt: now })
      .onConflictDoUpdate({
        target: [statusOutbox.repositoryId, statusOutbox.sha, statusOutbox.context],
        set: {
          state: sql`excluded.state`,
          description: sql`excluded.description`,
          targetUrl: sql`excluded.target_url`,
          version: sql`${boundedVersion} + 1`,
          dueAt: sql`coalesce(${statusOutbox.dueAt}, excluded.due_at)`,
          updatedAt: now,
        },
        setWhere: sql`(not ${onlyOverPending} or ${statusOutbox.state} = 'pending') and (${statusOutbox.state}, ${statusOutbox.description}, ${statusOutbox.targetUrl}) <> (excluded.state, excluded.description, excluded.target_url)`,
      })
      .returning({ id: statusOutbox.id });
    if (changed.length > 0) await notify(tx, { topic: 'outbox' });
  });
}

const MAX_ATTEMPTS = 1_000_000;
const boundedVersion = sql`least(greatest(${statusOutbox.version}, 1), ${MAX_COUNTER}::bigint)`;

/**
 * Moves `due_at` to the end of the lease, so that nobody else takes the same rows; `skip locked` lets two senders share
 * the work instead of waiting for each other.
 */
async function claimDue(db: Database, { now, limit, leaseMs }: Parameters<OutboxStore['claimDue']>[0]): Promise<DueStatus[]> {
  const due = db
    .select({ id: statusOutbox.id })
    .from(statusOutbox)
    .where(lte(statusOutbox.dueAt, now))
    .orderBy(asc(statusOutbox.dueAt), asc(statusOutbox.updatedAt))
    .limit(limit)
    .for('update', { skipLocked: true });
  const claimed = await db
    .update(statusOutbox)
    .set({
      dueAt: now + leaseMs,
      // Whatever a hand or another version left there: one status must not stop the claims of all.
      attempts: sql`least(greatest(${statusOutbox.attempts}, 0), ${MAX_ATTEMPTS}::int) + 1`,
      version: boundedVersion,
      sentVersion: sql`least(${statusOutbox.sentVersion}, ${boundedVersion} - 1)`,
    })
    .where(inArray(statusOutbox.id, due))
    .returning();
  return claimed
    .toSorted((left, right) => left.updatedAt - right.updatedAt)
    .map(({ id, repositoryId, sha, context, state, description, targetUrl, version, attempts }) => ({
      id,
      repositoryId,
      sha,
      context,
      state,
      description,
      targetUrl,
      version,
      attempts,
    }));
}

/** True for the row while this claim is its newest, and its version was not settled. */
function isStill(claimed: DueStatus): SQL | undefined {
  return and(eq(statusOutbox.id, claimed.id), eq(statusOutbox.attempts, claimed.attempts), lt(statusOutbox.sentVersion, claimed.version));
}

/** The claimed version needs no more tries; a newer one is due at once. */
async function settle(db: Database, claimed: DueStatus, error: string | null, at: number): Promise<void> {
  await db.transaction(async (tx) => {
    const settled = await tx
      .update(statusOutbox)
      .set({
        sentVersion: claimed.version,
        attempts: 0,
        lastError: error,
        dueAt: sql`case when ${statusOutbox.version} > ${claimed.version} then ${at}::bigint end`,
      })
      .where(isStill(claimed))
      .returning({ dueAt: statusOutbox.dueAt });
    if (settled.some(({ dueAt }) => dueAt !== null)) await notify(tx, { topic: 'outbox' });
  });
}

export function createOutboxStore(db: Database): OutboxStore {
  return {
    put: async (status) => await put(db, status),
    claimDue: async (options) => await claimDue(db, options),
    markSent: async (claimed, at) => await settle(db, claimed, null, at),
    async markRetry(claimed, error, dueAt) {
      await db
        .update(statusOutbox)
        .set({ dueAt, lastError: storableText(error) })
        .where(isStill(claimed));
    },
    markFailed: async (claimed, error, at) => await settle(db, claimed, storableText(error), at),
    async prune(before) {
      const settled = and(isNull(statusOutbox.dueAt), lt(statusOutbox.updatedAt, before));
      return (await db.delete(statusOutbox).where(settled).returning({ id: statusOutbox.id })).length;
    },
    async nextDueAt() {
      const [row] = await db.select({ dueAt: min(statusOutbox.dueAt) }).from(statusOutbox);
      return row?.dueAt ?? undefined;
    },
  };
}
