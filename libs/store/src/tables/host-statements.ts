import { pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { HOST_STATEMENT_KINDS } from '../host-statement-contract.ts';
import { at, count, hostName } from './columns.ts';
import { hosts } from './hosts.ts';

/** Signed words of hosts, and permits that the release key signed for them: for `floe export`. */
export const hostStatements = pgTable(
  'host_statements',
  {
    host: hostName('host')
      .notNull()
      .references(() => hosts.host, { onDelete: 'cascade', onUpdate: 'cascade' }),
    kind: text('kind', { enum: HOST_STATEMENT_KINDS }).notNull(),
    /** Of the directive; of the newest report 0, as there is one. */
    epoch: count('epoch').notNull(),
    /** Of a report its number, of a permit the time: the higher one stays. */
    seq: count('seq').notNull(),
    /** Of a report the key that signed it: the numbers of another key begin again. */
    publicKey: text('public_key').notNull(),
    envelope: text('envelope').notNull(),
    at: at('at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.host, table.kind, table.epoch] })],
);
