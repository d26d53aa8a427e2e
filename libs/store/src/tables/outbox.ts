import { STATUS_STATES } from '@floe/model';
import { index, integer, pgTable, text, unique } from 'drizzle-orm/pg-core';
import { at, commitSha, count, id } from './columns.ts';
import { repositories } from './pipeline.ts';

/** The commit statuses that should stand on the forge, and which version of each was sent. */
export const statusOutbox = pgTable(
  'status_outbox',
  {
    id: id(),
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id),
    sha: commitSha('sha').notNull(),
    context: text('context').notNull(),
    state: text('state', { enum: STATUS_STATES }).notNull(),
    description: text('description').notNull(),
    targetUrl: text('target_url').notNull(),
    /** Grows with every change of what should stand. */
    version: count('version').notNull().default(1),
    sentVersion: count('sent_version').notNull().default(0),
    attempts: integer('attempts').notNull().default(0),
    /** Null: nothing to send. */
    dueAt: at('due_at'),
    lastError: text('last_error'),
    updatedAt: at('updated_at').notNull(),
  },
  (table) => [unique('status_outbox_status').on(table.repositoryId, table.sha, table.context), index('status_outbox_due').on(table.dueAt)],
);
