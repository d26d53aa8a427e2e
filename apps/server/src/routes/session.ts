import { ActorView } from '@floe/protocol';
import type { Clock } from '@floe/runtime';
import { Hono } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { strangersBody, type BodyBudget } from '../http/bodies.ts';
import type { ClientAddresses } from '../http/client-address.ts';
import { Tries } from '../http/tries.ts';
import { refuse } from '../http-error.ts';

const SignIn = v.strictObject({ token: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(200)) });
const MAX_BODY_BYTES = 4 * 1024;
/** Sign-ins per address. */
const SIGN_INS = { burst: 10, perSecond: 0.2 } as const;

export interface SessionDeps {
  readonly auth: Auth;
  readonly clock: Clock;
  readonly bodies: BodyBudget;
  readonly addresses: ClientAddresses;
}

/** The page's sign-in and sign-out, and who somebody is. */
export function sessionRoutes({ auth, clock, bodies, addresses }: SessionDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  const tries = new Tries(SIGN_INS, clock);

  app.get('/', auth.requireAction('read'), answers('who asks', ActorView), (c) => {
    const body: ActorView = c.var.actor;
    return c.json(body);
  });
  app.post(
    '/',
    answers('signs a browser in: turns an API token into a session, in a cookie'),
    strangersBody(MAX_BODY_BYTES, bodies),
    takes('json', SignIn),
    async (c) => {
      if (!tries.take(addresses.ofRequest(c))) {
        c.header('retry-after', String(1 / SIGN_INS.perSecond));
        return refuse(c, 429, 'SIGN_INS_TOO_MANY', `more than ${SIGN_INS.burst} tries to sign in from one address: try again in a while`);
      }
      const outcome = await auth.signIn(c, c.req.valid('json').token);
      if (outcome === 'foreign') return refuse(c, 403, 'FOREIGN_ORIGIN', 'sign in on the page of this server');
      if (outcome === 'unknown') return refuse(c, 401, 'UNAUTHENTICATED', 'the API token is unknown, expired or was revoked');
      return c.body(null, 204);
    },
  );
  app.delete('/', answers('signs the browser out'), async (c) => {
    if ((await auth.signOut(c)) === 'foreign') return refuse(c, 403, 'FOREIGN_ORIGIN', 'sign out on the page of this server');
    return c.body(null, 204);
  });
  return app;
}
