import {
  boundedTime,
  COMMIT_SHA_FORM,
  HOST_NAME_FORM,
  MAX_COUNTER,
  NOTIFICATION_KINDS,
  NOTIFY_WITHIN_MS,
  planSending,
  recentMessages,
  REVISION_STATES,
  storableText,
  type CommitSha,
  type HostName,
  type NotificationEvent,
} from '@floe/model';
import { and, asc, eq, inArray, lt, sql } from 'drizzle-orm';
import * as v from 'valibot';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import type { DueEvent, NotificationClaim, NotificationStore, NotificationTargetState } from './notification-contract.ts';
import { Int8, readRows } from './rows.ts';
import { notificationOutbox, notificationTargets } from './tables/index.ts';

/** As much as one summary can be made of. */
const MAX_TOGETHER = 200;
const MAX_ROWS_PER_PUT = 500;
/** A claim that ends later is of a clock that was ahead. */
const MAX_LEASE_MS = 10 * 60_000;
const MAX_FAILURES = 1_000;
const MAX_PAUSE_MS = 24 * 3_600_000;

const Text = v.optional(
  v.pipe(
    v.string(),
    v.transform((text) => storableText(text)),
  ),
);
const StoredEvent = v.object({
  kind: v.picklist(NOTIFICATION_KINDS),
  key: v.pipe(v.string(), v.regex(/^[\x21-\x7E]{1,400}$/)),
  since: v.pipe(v.number(), v.transform(boundedTime)),
  commit: v.optional(
    v.pipe(
      v.string(),
      v.regex(COMMIT_SHA_FORM),
      v.transform((sha) => sha as CommitSha),
    ),
  ),
  subject: Text,
  host: v.optional(
    v.pipe(
      v.string(),
      v.regex(HOST_NAME_FORM),
      v.transform((host) => host as HostName),
    ),
  ),
  state: v.optional(v.picklist(REVISION_STATES)),
  reason: Text,
});
const Recent = v.fallback(v.pipe(v.array(v.number()), v.maxLength(1_000)), []);
const Waiting = v.object({ target: v.string(), count: Int8 });

function storable({ subject, reason, ...event }: NotificationEvent): NotificationEvent {
  const text = (value: string | undefined) => (value === undefined ? undefined : storableText(value));
  return { ...event, subject: text(subject), reason: text(reason) };
}

async function put(db: Database, events: Parameters<NotificationStore['put']>[0], now: number): Promise<void> {
  if (events.length === 0) return;
  const rows = await db.select({ name: notificationTargets.name, since: notificationTargets.since }).from(notificationTargets);
  const sinceOf = new Map(rows.map(({ name, since }) => [name, boundedTime(since)]));
  // What is wrong with the server is so now, also for a new target; and its clock may be what is wrong.
  const isFor = (from: number | undefined, { kind, since }: NotificationEvent): boolean =>
    from !== undefined && (kind === 'server-problem' || since >= from);
  const news = events.filter(({ target, event }) => isFor(sinceOf.get(target), event) && event.since > now - NOTIFY_WITHIN_MS);
  for (let at = 0; at < news.length; at += MAX_ROWS_PER_PUT) {
    const values = news
      .slice(at, at + MAX_ROWS_PER_PUT)
      .map(({ target, event }) => ({ target, key: event.key, event: storable(event), createdAt: now }));
    // Every server puts every event: one of them is first.
    await db.insert(notificationOutbox).values(values).onConflictDoNothing();
  }
}

type TargetRow = typeof notificationTargets.$inferSelect;

/** The lock on the target's row lets one sender after another decide by what the one before it wrote. */
async function lock(tx: Database, target: string): Promise<TargetRow | undefined> {
  const [row] = await tx.select().from(notificationTargets).where(eq(notificationTargets.name, target)).for('update');
  return row;
}

/** A time that is so far ahead as nobody sets it does not count. */
function timeWithin(time: number | null, now: number, mostMs: number): number | undefined {
  return time === null || time > now + mostMs ? undefined : boundedTime(time);
}

async function claim(db: Database, target: string, now: number, leaseMs: number): Promise<NotificationClaim> {
  return await db.transaction(async (tx): Promise<NotificationClaim> => {
    const row = await lock(tx, target);
    if (row === undefined) return { kind: 'wait', until: undefined };
    const heldUntil = timeWithin(row.claimedUntil, now, MAX_LEASE_MS);
    if (heldUntil !== undefined && heldUntil > now) return { kind: 'wait', until: heldUntil };
    const pausedUntil = timeWithin(row.pausedUntil, now, MAX_PAUSE_MS);
    if (pausedUntil !== undefined && pausedUntil > now) return { kind: 'wait', until: pausedUntil };
    // As the partial index has it: the planner cannot match a parameter with it.
    const isWaiting = and(eq(notificationOutbox.target, target), sql`not ${notificationOutbox.isDone}`);
    await tx
      .update(notificationOutbox)
      .set({ isDone: true })
      .where(and(isWaiting, lt(notificationOutbox.createdAt, now - NOTIFY_WITHIN_MS)));
    const { id, attempts, event } = notificationOutbox;
    const rows = await tx.select({ id, event }).from(notificationOutbox).where(isWaiting).orderBy(asc(attempts), asc(id)).limit(MAX_TOGETHER);
    const parsed = rows.map((each) => ({ id: each.id, event: v.safeParse(StoredEvent, each.event) }));
    const unreadable = parsed.filter((each) => !each.event.success).map((each) => each.id);
    if (unreadable.length > 0) await tx.update(notificationOutbox).set({ isDone: true }).where(inArray(id, unreadable));
    const waiting = parsed.flatMap((each): DueEvent[] => (each.event.success ? [{ id: each.id, event: each.event.output }] : []));
    const plan = planSending({ recent: v.parse(Recent, row.recent), waiting: waiting.length, now });
    if (plan.kind === 'nothing') return { kind: 'wait', until: undefined };
    if (plan.kind === 'wait') return { kind: 'wait', until: plan.until };
    const next = nextClaim(row.claim);
    await tx
      .update(notificationTargets)
      .set({ claim: next, claimedUntil: now + leaseMs })
      .where(eq(notificationTargets.name, target));
    return { kind: 'send', claim: next, events: plan.kind === 'one' ? waiting.slice(0, 1) : waiting };
  });
}

function nextClaim(claimed: number): number {
  return claimed >= 0 && claimed < MAX_COUNTER ? claimed + 1 : 1;
}

function stateOf(row: TargetRow, waiting: number): NotificationTargetState {
  const { name, lastSentAt, failingSince, failures, lastError } = row;
  return {
    name,
    lastSentAt: lastSentAt === null ? undefined : boundedTime(lastSentAt),
    failing:
      failingSince === null
        ? undefined
        : { since: boundedTime(failingSince), failures: Math.min(Math.max(failures, 1), MAX_FAILURES), error: storableText(lastError ?? '', 1_000) },
    waiting,
  };
}

export function createNotificationStore(db: Database): NotificationStore {
  async function mark(target: string, claimed: number, change: (tx: Database, row: TargetRow) => Promise<void>): Promise<void> {
    await db.transaction(async (tx) => {
      const row = await lock(tx, target);
      if (row?.claim === claimed) await change(tx, row);
    });
  }
  return {
    async ensure(names, now) {
      if (names.length === 0) return;
      const values = names.toSorted().map((name) => ({ name, since: now, seenAt: now }));
      await db
        .insert(notificationTargets)
        .values(values)
        .onConflictDoUpdate({ target: notificationTargets.name, set: { seenAt: now } });
    },
    put: async (events, now) => await put(db, events, now),
    claim: async (target, now, leaseMs) => await claim(db, target, now, leaseMs),
    markSent: async (target, claimed, at) =>
      await mark(target, claimed.claim, async (tx, row) => {
        const ids = claimed.events.map(({ id }) => id);
        await tx.update(notificationOutbox).set({ isDone: true }).where(inArray(notificationOutbox.id, ids));
        const recent = [...recentMessages(v.parse(Recent, row.recent), at), at];
        await tx
          .update(notificationTargets)
          .set({ recent, claimedUntil: null, pausedUntil: null, failures: 0, failingSince: null, lastError: null, lastSentAt: at })
          .where(eq(notificationTargets.name, target));
      }),
    markFailed: async (target, claimed, { error, at, pausedUntil }) =>
      await mark(target, claimed.claim, async (tx, row) => {
        const ids = claimed.events.map(({ id }) => id);
        // One that the target never takes falls behind the others.
        await tx
          .update(notificationOutbox)
          .set({ attempts: sql`least(greatest(${notificationOutbox.attempts}, 0), 1000000) + 1` })
          .where(inArray(notificationOutbox.id, ids));
        const failures = Math.min(Math.max(row.failures, 0), MAX_FAILURES) + 1;
        const failure = { failures, failingSince: row.failingSince ?? at, lastError: storableText(error, 1_000), pausedUntil };
        await tx
          .update(notificationTargets)
          .set({ ...failure, claimedUntil: null })
          .where(eq(notificationTargets.name, target));
      }),
    async states() {
      const rows = await db.select().from(notificationTargets).orderBy(asc(notificationTargets.name));
      const counted = await db.execute(sql`select target, count(*) as count from notification_outbox where not is_done group by target`);
      const waiting = new Map(readRows(Waiting, counted).map(({ target, count }) => [target, count]));
      return rows.map((row) => stateOf(row, waiting.get(row.name) ?? 0));
    },
    prune: async (before) => await deleteInBatches(db, notificationOutbox, lt(notificationOutbox.createdAt, before)),
    pruneTargets: async (before) => await deleteInBatches(db, notificationTargets, lt(notificationTargets.seenAt, before)),
  };
}
