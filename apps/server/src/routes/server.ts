import { ClockAccepted } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { PlainStore } from '@floe/store';
import { Hono } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import type { Auth, AuthEnv } from '../auth.ts';
import { refuse } from '../http-error.ts';
import type { ServerClock } from '../server-clock.ts';
import { decide } from './decide.ts';
import { Reason } from './validation.ts';

export interface ServerRouteDeps {
  readonly auth: Auth;
  readonly store: Pick<PlainStore, 'decide'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly serverClock: Pick<ServerClock, 'trouble' | 'accept'>;
  readonly onClockAccepted: (accepted: ClockAccepted) => void;
}

/** What an administrator decides about the server itself. */
export function serverRoutes(deps: ServerRouteDeps): Hono<AuthEnv> {
  const { auth, serverClock, onClockAccepted } = deps;
  const app = new Hono<AuthEnv>();

  app.post('/clock', auth.requireAction('accept-clock'), answers("accepts the server's clock", ClockAccepted), takes('json', Reason), async (c) => {
    const trouble = serverClock.trouble();
    if (trouble === undefined) return refuse(c, 409, 'CLOCK_NOT_DOUBTED', 'the clock of this server is not doubted: there is nothing to accept');
    const accepted: ClockAccepted = { was: trouble.kind, now: trouble.shown };
    const { reason: detail } = c.req.valid('json');
    await decide(
      deps,
      c,
      async ({ server }) => {
        // Of a difference from the database's clock nothing is stored: it is accepted until the server ends.
        if (trouble.kind !== 'DIFFERS') await server.setClockHigh(trouble.shown);
      },
      () => ({ action: 'accept-clock', subject: new Date(trouble.shown).toISOString(), detail }),
    );
    serverClock.accept(trouble);
    onClockAccepted(accepted);
    return c.json(accepted);
  });
  return app;
}
