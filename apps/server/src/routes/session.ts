import { addressGroup, isLoopback, TokenBucket, type Clock } from '@floe/runtime';
import { sValidator } from '@hono/standard-validator';
import type { HttpBindings } from '@hono/node-server';
import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import type { Auth } from '../auth.ts';
import { strangersBody, type BodyBudget } from '../http/bodies.ts';
import { refuse } from '../http-error.ts';
import { orRefuse } from './validation.ts';

const SignIn = v.strictObject({ token: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(200)) });
const MAX_BODY_BYTES = 4 * 1024;
/** Of one address. */
const SIGN_INS = { burst: 10, perSecond: 0.2 } as const;
/** Addresses that are remembered; those that have all their tries again are forgotten first. */
const MAX_ADDRESSES = 10_000;

export interface SessionDeps {
  readonly auth: Auth;
  readonly clock: Clock;
  readonly bodies: BodyBudget;
}

/** The page's sign-in and sign-out. */
export function sessionRoutes({ auth, clock, bodies }: SessionDeps): Hono {
  const app = new Hono();
  const tries = new Map<string, TokenBucket>();

  function mayTry(address: string): boolean {
    const bucket = tries.get(address) ?? new TokenBucket(SIGN_INS, clock);
    // The newest is the last, so that the first is who was not here for the longest time.
    tries.delete(address);
    tries.set(address, bucket);
    const [oldest] = tries.keys();
    if (tries.size > MAX_ADDRESSES && oldest !== undefined) tries.delete(oldest);
    return bucket.tryTake();
  }

  app.post('/', strangersBody(MAX_BODY_BYTES, bodies), sValidator('json', SignIn, orRefuse), async (c) => {
    if (!mayTry(clientAddress(c))) {
      c.header('retry-after', String(1 / SIGN_INS.perSecond));
      return refuse(c, 429, 'SIGN_INS_TOO_MANY', `more than ${SIGN_INS.burst} tries to sign in from one address: try again in a while`);
    }
    const outcome = await auth.signIn(c, c.req.valid('json').token);
    if (outcome === 'foreign') return refuse(c, 403, 'FOREIGN_ORIGIN', 'sign in on the page of this server');
    if (outcome === 'unknown') return refuse(c, 401, 'UNAUTHENTICATED', 'the API token is unknown or revoked');
    return c.body(null, 204);
  });
  app.delete('/', async (c) => {
    if ((await auth.signOut(c)) === 'foreign') return refuse(c, 403, 'FOREIGN_ORIGIN', 'sign out on the page of this server');
    return c.body(null, 204);
  });
  return app;
}

/**
 * Who asks. Behind a proxy on this machine that is whom the proxy names last; from elsewhere the header is anybody's word.
 */
function clientAddress(c: Context): string {
  const address = (c.env as Partial<HttpBindings> | undefined)?.incoming?.socket.remoteAddress;
  const forwarded = c.req.header('x-forwarded-for')?.split(',').at(-1)?.trim();
  return addressGroup(forwarded !== undefined && address !== undefined && isLoopback(address.replace(/^::ffff:/, '')) ? forwarded : address);
}
