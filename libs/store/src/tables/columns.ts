import { bigint, text } from 'drizzle-orm/pg-core';
import { sql } from 'drizzle-orm';
import type { CommitSha, HostName, StorePath } from '@floe/model';

/** A row's id. Random, so that it reveals nothing and databases can be merged. */
export const id = () =>
  text('id')
    .primaryKey()
    .default(sql`gen_random_uuid()::text`);
/** Milliseconds since 1970-01-01 UTC: the same number in the database, the code and the messages. */
export const at = (name: string) => bigint(name, { mode: 'number' });
/** A counter or a size: safe up to 2^53. */
export const count = (name: string) => bigint(name, { mode: 'number' });
export const hostName = (name: string) => text(name).$type<HostName>();
export const commitSha = (name: string) => text(name).$type<CommitSha>();
export const storePath = (name: string) => text(name).$type<StorePath>();
