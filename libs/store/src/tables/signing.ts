import { sql } from 'drizzle-orm';
import { index, pgTable, text } from 'drizzle-orm/pg-core';
import { at, hostName } from './columns.ts';
import { repositories } from './pipeline.ts';

/** What servers ask a builder of its own process to sign, and what it answered. */
export const signingRequests = pgTable(
  'signing_requests',
  {
    key: text('key').primaryKey(),
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id, { onDelete: 'cascade' }),
    host: hostName('host').notNull(),
    request: text('request').notNull(),
    at: at('at').notNull(),
    envelope: text('envelope'),
    /** Why it is not signed. */
    refused: text('refused'),
  },
  (table) => [
    index('signing_requests_unanswered')
      .on(table.repositoryId, table.at)
      .where(sql`${table.envelope} is null and ${table.refused} is null`),
  ],
);
