import { FAILED_REVISION, HANDING_OUT, HELD_PREFIX, isEndedRevision, REVISION_STATES, ROLLOUT_STATES, type RolloutState } from '@floe/model';
import { sql, type SQL } from 'drizzle-orm';
import type { AnyPgColumn } from 'drizzle-orm/pg-core';

// Few rows are unfinished, however long the history: partial indexes contain only these. The states are written into the
// statement, because the planner cannot match a parameter with a partial index.

const ENDED_ROLLOUTS: ReadonlySet<RolloutState> = new Set(['COMPLETE', 'ABORTED', 'SUPERSEDED']);

/** The states of an unfinished rollout. */
export const UNFINISHED_ROLLOUT = ROLLOUT_STATES.filter((state) => !ENDED_ROLLOUTS.has(state));
const UNFINISHED_REVISION = REVISION_STATES.filter((state) => !isEndedRevision(state));

function isOneOfStates(column: AnyPgColumn | SQL, states: readonly string[]): SQL {
  return sql`${column} in (${sql.raw(states.map((state) => `'${state}'`).join(', '))})`;
}

export function isUnfinishedRevision(state: AnyPgColumn): SQL {
  return isOneOfStates(state, UNFINISHED_REVISION);
}

/** See `isFailedRevision()` of libs/model. */
export function isFailedRevision(state: AnyPgColumn | SQL): SQL {
  return isOneOfStates(state, FAILED_REVISION);
}

/** Its releases count, see `isHandingOut()` of libs/model. */
export function isHandingOut(state: AnyPgColumn): SQL {
  return isOneOfStates(state, HANDING_OUT);
}

export function isUnfinishedRollout(state: AnyPgColumn): SQL {
  return isOneOfStates(state, UNFINISHED_ROLLOUT);
}

/** Entries of the outbox with something to send or to check. */
export function isOpenStatus({ dueAt, checkAt }: { readonly dueAt: AnyPgColumn; readonly checkAt: AnyPgColumn }): SQL {
  return sql`(${dueAt} is not null or ${checkAt} is not null)`;
}

/** Statuses that become untrue when nobody looks at their commit again: a verdict is still to come. */
export function isUnsettledStatus({ state, description }: { readonly state: AnyPgColumn; readonly description: AnyPgColumn }): SQL {
  return sql`(${state} = 'pending' or ${description} like ${sql.raw(`'${HELD_PREFIX}%'`)})`;
}
