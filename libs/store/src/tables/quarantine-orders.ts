import { pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { at, commitSha } from './columns.ts';
import { repositories } from './pipeline.ts';

/** A person says that the system of a commit does not run on a host, or on none. Until that is lifted. */
export const quarantineOrders = pgTable(
  'quarantine_orders',
  {
    repositoryId: text('repository_id')
      .notNull()
      .references(() => repositories.id),
    /** A host's name, or `*`: every host whose system the commit changed. */
    subject: text('subject').notNull(),
    commit: commitSha('commit').notNull(),
    reason: text('reason').notNull(),
    by: text('by').notNull(),
    createdAt: at('created_at').notNull(),
    /** The server lifts it then; null: somebody does. */
    until: at('until'),
  },
  (table) => [primaryKey({ columns: [table.repositoryId, table.subject, table.commit] })],
);
