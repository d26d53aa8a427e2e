import { isNull, sql, type SQL } from 'drizzle-orm';
import { rollouts } from './tables/index.ts';

/** It is published, and has not begun. The state is written into the statement, for the partial index. */
export function isWaiting(): SQL {
  return sql`${rollouts.state} = 'NEXT'`;
}

/** Hosts follow it, or did: it is none that waits for the one before it. */
export function isFollowed(): SQL {
  return isNull(rollouts.waitingSince);
}
