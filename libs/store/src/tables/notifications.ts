import { sql } from 'drizzle-orm';
import { bigint, boolean, index, integer, jsonb, pgTable, text, unique } from 'drizzle-orm/pg-core';
import { at, count } from './columns.ts';

/** Who is told what happens: a row per target in the settings of any server on this database. */
export const notificationTargets = pgTable('notification_targets', {
  name: text('name').primaryKey(),
  /** What happened before is not told to it. */
  since: at('since').notNull(),
  /** When a server last had it in its settings. */
  seenAt: at('seen_at').notNull(),
  /** When messages were sent to it in the last hour. */
  recent: jsonb('recent').notNull().default([]),
  /** Numbers the claims, of which one at a time may send. */
  claim: count('claim').notNull().default(0),
  claimedUntil: at('claimed_until'),
  /** It failed: nothing is sent until then. */
  pausedUntil: at('paused_until'),
  failures: integer('failures').notNull().default(0),
  failingSince: at('failing_since'),
  lastError: text('last_error'),
  lastSentAt: at('last_sent_at'),
});

/** What each target is told, once. */
export const notificationOutbox = pgTable(
  'notification_outbox',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    target: text('target').notNull(),
    /** `NotificationEvent.key` of libs/model. */
    key: text('key').notNull(),
    event: jsonb('event').notNull(),
    createdAt: at('created_at').notNull(),
    attempts: integer('attempts').notNull().default(0),
    /** It was sent, or given up. */
    isDone: boolean('is_done').notNull().default(false),
  },
  (table) => [
    unique('notification_outbox_event').on(table.target, table.key),
    index('notification_outbox_waiting')
      .on(table.target, table.attempts, table.id)
      .where(sql`not ${table.isDone}`),
  ],
);
