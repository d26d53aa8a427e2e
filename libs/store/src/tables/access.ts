import { bigint, index, pgTable, text } from 'drizzle-orm/pg-core';
import { at, hostName } from './columns.ts';

export const apiTokens = pgTable('api_tokens', {
  hash: text('hash').primaryKey(),
  name: text('name').notNull().unique(),
  createdAt: at('created_at').notNull(),
  lastUsedAt: at('last_used_at'),
});

/** Sessions of browsers. Revoking the token ends them. */
export const sessions = pgTable(
  'sessions',
  {
    hash: text('hash').primaryKey(),
    tokenHash: text('token_hash')
      .notNull()
      .references(() => apiTokens.hash, { onDelete: 'cascade' }),
    createdAt: at('created_at').notNull(),
    lastUsedAt: at('last_used_at').notNull(),
  },
  (table) => [index('sessions_token').on(table.tokenHash)],
);

export const enrolmentTokens = pgTable('enrolment_tokens', {
  hash: text('hash').primaryKey(),
  host: hostName('host').notNull(),
  expiresAt: at('expires_at').notNull(),
  usedAt: at('used_at'),
});

/** Append-only: who did what. */
export const auditLog = pgTable('audit_log', {
  id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  at: at('at').notNull(),
  actor: text('actor').notNull(),
  action: text('action').notNull(),
  subject: text('subject').notNull(),
  detail: text('detail').notNull(),
});
