import { MAX_COUNTER } from '@floe/model';
import { sql } from 'drizzle-orm';

/**
 * In a query of `repositories`: the highest sequence; when it is unreadable, the highest of any revision or release. Whatever
 * raises it starts from this, or the next revision would get a number that is taken.
 */
export const highestSequence = sql<number>`
  case when repositories.sequence between 0 and ${MAX_COUNTER}::bigint then repositories.sequence else greatest(
    0,
    (select max(r.sequence) from revisions r where r.repository_id = repositories.id and r.sequence between 0 and ${MAX_COUNTER}::bigint),
    (select max(l.sequence) from releases l where l.repository_id = repositories.id and l.sequence between 0 and ${MAX_COUNTER}::bigint)
  ) end`;
