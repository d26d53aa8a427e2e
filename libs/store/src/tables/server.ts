import { bigint, integer, pgTable, text } from 'drizzle-orm/pg-core';
import { at } from './columns.ts';

/** One row: the server that this database belongs to. */
export const server = pgTable('server', {
  id: integer('id').primaryKey().default(1),
  /** The public keys that hosts trust. */
  releaseKey: text('release_key').notNull(),
  serverKey: text('server_key').notNull(),
  /** The data folder of the process that uses it, in this boot of its machine; null after a clean stop. */
  place: text('place'),
  /** Identifies that process, and this start of it. */
  process: text('process'),
  /** The same for people. */
  description: text('description'),
  /** Grows as long as that process lives. */
  beats: bigint('beats', { mode: 'number' }).notNull().default(0),
  /** The latest time of its clock. */
  clockHigh: at('clock_high').notNull(),
});
