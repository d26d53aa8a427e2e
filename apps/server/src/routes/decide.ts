import type { Action } from '@floe/model';
import type { Clock, Logger } from '@floe/runtime';
import type { DecisionStore, PlainStore } from '@floe/store';
import type { Context } from 'hono';
import type { AuthEnv } from '../auth.ts';

interface DecideDeps {
  readonly store: Pick<PlainStore, 'decide'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What the log says of a decision. `action` of tokens and enrolments has a name of its own. */
export interface DecisionWords {
  readonly action: Action | 'enrolment-token' | 'create-token' | 'set-token' | 'revoke-token' | 'accept-held';
  /** A host, a commit or a token. */
  readonly subject: string;
  readonly detail: string;
}

/**
 * What the person who asks decided: `act` stores it, and what `wordsOf` says of the result is the log's entry of it. Both are stored, or none.
 * Undefined: nothing was decided, and nothing is stored.
 */
export async function decide<Result>(
  { store, clock, logger }: DecideDeps,
  c: Context<AuthEnv>,
  act: (decisions: DecisionStore) => Promise<Result>,
  wordsOf: (result: Result) => DecisionWords | undefined,
): Promise<Result> {
  const actor = c.var.actor.name;
  let words: DecisionWords | undefined;
  const decided = await store.decide(async (decisions) => {
    const result = await act(decisions);
    words = wordsOf(result);
    return { result, entries: words === undefined ? [] : [{ at: clock.now(), actor, ...words }] };
  });
  if (words !== undefined) logger.info('a decision', { actor, ...words });
  return decided;
}
