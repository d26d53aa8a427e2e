import { STATUS_STATES } from '@floe/model';
import { boolean, index, integer, pgTable, text, unique } from 'drizzle-orm/pg-core';
import { at, commitSha, count, id } from './columns.ts';
import { repositories } from './pipeline.ts';
import { isOpenStatus, isUnsettledStatus } from './unfinished.ts';

/** The commit statuses that should stand on the forge, and what is known of what stands there: `StatusEntry` of libs/model. */
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
    isUnderWay: boolean('is_under_way').notNull().default(false),
    version: count('version').notNull().default(1),
    sentVersion: count('sent_version').notNull().default(0),
    attempts: integer('attempts').notNull().default(0),
    claim: count('claim').notNull().default(0),
    claimedUntil: at('claimed_until'),
    dueAt: at('due_at'),
    unsureSince: at('unsure_since'),
    checkAt: at('check_at'),
    posts: integer('posts').notNull().default(0),
    wordsFrom: at('words_from').notNull().default(0),
    verdictFrom: at('verdict_from').notNull().default(0),
    lastError: text('last_error'),
    updatedAt: at('updated_at').notNull(),
  },
  (table) => [
    unique('status_outbox_status').on(table.repositoryId, table.sha, table.context),
    index('status_outbox_open').on(table.dueAt, table.checkAt).where(isOpenStatus(table)),
    index('status_outbox_unsettled').on(table.repositoryId, table.sha).where(isUnsettledStatus(table)),
  ],
);
