import { sql } from 'drizzle-orm';
import { bigint, index, integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core';
import type { Role } from '@floe/model';
import { at, count, hostName } from './columns.ts';

export const apiTokens = pgTable('api_tokens', {
  hash: text('hash').primaryKey(),
  name: text('name').notNull().unique(),
  /** One that is no role may nothing. */
  role: text('role').$type<Role>().notNull(),
  createdAt: at('created_at').notNull(),
  /** The token or the server that made it; null: from before this was recorded. */
  createdBy: text('created_by'),
  lastUsedAt: at('last_used_at'),
  /** Whose it is; null: a person of its own, with its name. */
  person: text('person'),
  /** The person's login at the forge; null: none is known. */
  forgeLogin: text('forge_login'),
  /** The person as a signer of commits, by the settings' files of allowed signers; null: none is known. */
  signer: text('signer'),
  /** From then on it is not accepted; null: it has no end. */
  expiresAt: at('expires_at'),
});

/** Sessions of browsers. They end when their token is revoked, expires, or gets another role. */
export const sessions = pgTable(
  'sessions',
  {
    hash: text('hash').primaryKey(),
    tokenHash: text('token_hash')
      .notNull()
      .references(() => apiTokens.hash, { onDelete: 'cascade' }),
    /** The token's role when it signed in. */
    role: text('role').$type<Role>().notNull(),
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

/** Append-only: who did what. Only the refusals of one day are counted in one row. */
export const auditLog = pgTable(
  'audit_log',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    at: at('at').notNull(),
    actor: text('actor').notNull(),
    action: text('action').notNull(),
    subject: text('subject').notNull(),
    detail: text('detail').notNull(),
    /** Of a refusal: the day on which it was, counted from 1970-01-01; null: it was done. */
    refusedOn: integer('refused_on'),
    /** How often it was refused on that day. */
    count: count('count').notNull().default(1),
    /** When it was refused last. */
    lastAt: at('last_at'),
    /** Over the hash of the entry before it, and all of this one that never changes; null: from before entries were chained. */
    hash: text('hash'),
  },
  (table) => [
    // Also for the beginning of a commit.
    index('audit_log_subject').on(table.subject.op('text_pattern_ops'), table.id),
    uniqueIndex('audit_log_refusals')
      .on(table.actor, table.action, table.refusedOn)
      .where(sql`${table.refusedOn} is not null`),
  ],
);
