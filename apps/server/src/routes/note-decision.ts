import type { Action, CommitSha, HostName } from '@floe/model';
import type { Clock, Logger } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import type { Context } from 'hono';
import type { AuthEnv } from '../auth.ts';

export interface NoteDeps {
  readonly store: StorePart<{ audit: 'append' }>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Writes down what the person who asks decided about a host; of all of them, about a commit. */
export async function noteDecision(
  { store, clock, logger }: NoteDeps,
  c: Context<AuthEnv>,
  { action, host, detail }: { readonly action: Action; readonly host: HostName | CommitSha; readonly detail: string },
): Promise<void> {
  const actor = c.var.actor.name;
  await store.audit.append({ at: clock.now(), actor, action, subject: host, detail });
  logger.info('a decision about a host', { action, actor, host, detail });
}
