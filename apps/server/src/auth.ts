import type { Store } from '@floe/store';
import { createMiddleware } from 'hono/factory';
import { getCookie } from 'hono/cookie';
import { refuse } from './http-error.ts';

export const SESSION_COOKIE = 'floe_session';

export interface AuthEnv {
  Variables: { actor: string };
}

/** Lets in who has an API token, as a bearer or in the page's cookie; `c.var.actor` is the token's name. */
export function requireToken(store: Store) {
  return createMiddleware<AuthEnv>(async (c, next) => {
    const bearer = /^Bearer\s+(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    const token = bearer ?? getCookie(c, SESSION_COOKIE);
    const found = token === undefined ? undefined : await store.tokens.findApiToken(token);
    if (found === undefined) {
      c.header('www-authenticate', 'Bearer realm="floe"');
      return refuse(
        c,
        401,
        'UNAUTHENTICATED',
        token === undefined ? 'send an API token: "Authorization: Bearer …"' : 'the API token is unknown or revoked: run "floe login" again',
      );
    }
    c.set('actor', found.name);
    return await next();
  });
}
