import { ActorView } from '@floe/protocol';
import { Hono } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { refuseLook } from '../credential-looks.ts';
import { strangersBody, type BodyBudget } from '../http/bodies.ts';
import { refuse } from '../http-error.ts';

const SignIn = v.strictObject({ token: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(200)) });
const MAX_BODY_BYTES = 4 * 1024;

export interface SessionDeps {
  readonly auth: Auth;
  readonly bodies: BodyBudget;
}

/** The page's sign-in and sign-out, and who somebody is. */
export function sessionRoutes({ auth, bodies }: SessionDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();

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
      const outcome = await auth.signIn(c, c.req.valid('json').token);
      if (outcome.kind === 'foreign') return refuse(c, 403, 'FOREIGN_ORIGIN', 'sign in on the page of this server');
      if (outcome.kind !== 'looked') return refuseLook(c, outcome);
      if (outcome.result !== true) return refuse(c, 401, 'UNAUTHENTICATED', 'the API token is unknown, expired or was revoked');
      return c.body(null, 204);
    },
  );
  app.delete('/', answers('signs the browser out'), async (c) => {
    const outcome = await auth.signOut(c);
    if (outcome.kind === 'foreign') return refuse(c, 403, 'FOREIGN_ORIGIN', 'sign out on the page of this server');
    if (outcome.kind !== 'looked') return refuseLook(c, outcome);
    return c.body(null, 204);
  });
  return app;
}
