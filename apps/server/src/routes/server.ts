import { ClockAccepted } from '@floe/protocol';
import type { Clock } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import { Hono } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import type { Auth, AuthEnv } from '../auth.ts';
import { refuse } from '../http-error.ts';
import { Reason } from './validation.ts';

export interface ServerRouteDeps {
  readonly auth: Auth;
  readonly store: StorePart<{ audit: 'append' }>;
  readonly clock: Clock;
  /** The machine's clock is right, whatever it showed before. Undefined: nobody doubts it. */
  readonly acceptClock: () => Promise<ClockAccepted | undefined>;
}

/** What an administrator decides about the server itself. */
export function serverRoutes({ auth, store, clock, acceptClock }: ServerRouteDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();

  app.post('/clock', auth.requireAction('accept-clock'), answers("accepts the server's clock", ClockAccepted), takes('json', Reason), async (c) => {
    const accepted = await acceptClock();
    if (accepted === undefined) return refuse(c, 409, 'CLOCK_NOT_DOUBTED', 'the clock of this server is not doubted: there is nothing to accept');
    const at = clock.now();
    await store.audit.append({
      at,
      actor: c.var.actor.name,
      action: 'accept-clock',
      subject: new Date(at).toISOString(),
      detail: c.req.valid('json').reason,
    });
    return c.json(accepted);
  });
  return app;
}
