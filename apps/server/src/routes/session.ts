import type { Store } from '@floe/store';
import { sValidator } from '@hono/standard-validator';
import { Hono } from 'hono';
import { deleteCookie, setCookie } from 'hono/cookie';
import { foreign, prose } from '@floe/protocol';
import * as v from 'valibot';
import { SESSION_COOKIE } from '../auth.ts';
import { refuse } from '../http-error.ts';
import { orRefuse } from './validation.ts';

const SignIn = foreign(v.strictObject({ token: v.pipe(prose(200), v.trim(), v.minLength(1)) }));
const LIFETIME_S = 30 * 24 * 3600;

/** The page's sign-in: an API token becomes a cookie that scripts cannot read and other sites cannot send. */
export function sessionRoutes(store: Store, isHttps: boolean): Hono {
  const app = new Hono();
  app.post('/', sValidator('json', SignIn, orRefuse), async (c) => {
    const { token } = c.req.valid('json');
    if ((await store.tokens.findApiToken(token)) === undefined) return refuse(c, 401, 'UNAUTHENTICATED', 'the API token is unknown or revoked');
    setCookie(c, SESSION_COOKIE, token, { httpOnly: true, sameSite: 'Strict', secure: isHttps, path: '/', maxAge: LIFETIME_S });
    return c.body(null, 204);
  });
  app.delete('/', (c) => {
    deleteCookie(c, SESSION_COOKIE, { path: '/' });
    return c.body(null, 204);
  });
  return app;
}
