import { getTableName, type Table } from 'drizzle-orm';
import * as tables from './tables/index.ts';

/** A table of the database, as SQL names it. */
export type TableName = (typeof tables)[keyof typeof tables]['_']['name'];

/** All tables: what stays says what ends its growth (housekeeping of the server). */
export const TABLE_NAMES: readonly TableName[] = Object.values<Table>(tables).map((table) => getTableName(table) as TableName);
