import { bigint, integer, pgTable, text } from 'drizzle-orm/pg-core';
import { at } from './columns.ts';

/** One row: the server that this database belongs to. */
export const server = pgTable('server', {
  id: integer('id').primaryKey().default(1),
  /** The public keys that hosts trust. */
  releaseKey: text('release_key').notNull(),
  serverKey: text('server_key').notNull(),
  /** The data folder of the process that works on it, in this boot of its machine; null when it stopped as asked. */
  place: text('place'),
  /** That process, and no other start of it. */
  process: text('process'),
  /** The same for people. */
  description: text('description'),
  /** Grows as long as that process lives. */
  beats: bigint('beats', { mode: 'number' }).notNull().default(0),
  /** The latest time that its clock showed. */
  clockHigh: at('clock_high').notNull(),
});
