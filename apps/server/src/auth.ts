import { createHash, randomBytes } from 'node:crypto';
import { mayDo, roleFor, type Action, type Role } from '@floe/model';
import { FairGate, Gate, type Clock, type Logger } from '@floe/runtime';
import type { StorePart, TokenHolder } from '@floe/store';
import type { Context, MiddlewareHandler } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { createMiddleware } from 'hono/factory';
import { atMostEvery } from './at-most-every.ts';
import { membersBody } from './http/bodies.ts';
import { saying } from './openapi/described.ts';
import type { ClientAddresses } from './http/client-address.ts';
import { refuse } from './http-error.ts';
import { LastUses } from './last-uses.ts';
import { RefusalNotes } from './refusal-notes.ts';

const SESSION_COOKIE = 'floe_session';
/** The server ends a session by itself sooner: this only lets the browser forget it. */
const COOKIE_LIFETIME_S = 30 * 24 * 3600;
/**
 * So many credentials are looked up at a time, and so many wait: a guess is a look at the database. Those that were good
 * lately have a way of their own, so that nobody who may come in waits behind guesses.
 */
const CONCURRENT_LOOKS = 8;
const CONCURRENT_GUESSES = 2;
const MAX_WAITING_LOOKS = 500;
/** Guesses take turns by the address that they come from; so many of one may wait, and of all. */
const CONCURRENT_GUESSES_OF_ADDRESS = 1;
const MAX_WAITING_GUESSES_OF_ADDRESS = 25;
const MAX_WAITING_GUESSES = 500;
/** How many credentials are remembered as good. They are looked up all the same: one that was revoked is worth nothing. */
const MAX_KNOWN = 1_000;
/** Names of administrators are looked up at most this often, however many are refused. */
const ADMINISTRATORS_EVERY_MS = 10_000;

/** Who asks, and what they may do. Single sign-on is one more `kind`, and one more case of `authenticate` below. */
export interface Actor {
  /** As the audit log names them. */
  readonly name: string;
  readonly role: Role;
  /** Whose token it is: people approve, not tokens. */
  readonly person: string;
  readonly kind: Credential['kind'];
}

export interface AuthEnv {
  Variables: { actor: Actor; credential: Credential };
}

/** What a request shows: an API token, or the session of a browser. */
export interface Credential {
  readonly kind: 'token' | 'session';
  readonly secret: string;
}

type Authentication =
  | { readonly kind: 'authenticated'; readonly actor: Actor; readonly credential: Credential }
  /** The answer. */
  | { readonly kind: 'refused'; readonly response: Response };

export interface Auth {
  /**
   * The guard of a route: requires a credential whose role may do `action`, and bounds the body (`maxBodyBytes`: where more is to be sent). Every route of the API has one
   * next to its path; `all-routes.test.ts` finds one that has not.
   */
  readonly requireAction: (action: Action, maxBodyBytes?: number) => MiddlewareHandler<AuthEnv>;
  /** Whether the credential is still good: for answers that go on for hours. */
  isGood(credential: Credential): Promise<boolean>;
  /** Turns an API token into a session of this browser, in a cookie that scripts cannot read and other sites cannot send. */
  signIn(c: Context, token: string): Promise<'signed-in' | 'unknown' | 'foreign'>;
  signOut(c: Context): Promise<'signed-out' | 'foreign'>;
}

export interface AuthDeps {
  readonly store: StorePart<{
    tokens: 'findApiToken' | 'findSession' | 'createSession' | 'endSession' | 'noteUse' | 'administrators';
    audit: 'countRefusals';
  }>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where the page is. */
  readonly publicUrl: string;
  readonly addresses: ClientAddresses;
}

/** Who may use the API. */
export function createAuth({ store, clock, logger, publicUrl, addresses }: AuthDeps): Auth {
  const { tokens } = store;
  const publicOrigin = new URL(publicUrl).origin;
  const looks = new Gate(CONCURRENT_LOOKS);
  const guesses = new FairGate(CONCURRENT_GUESSES, CONCURRENT_GUESSES_OF_ADDRESS);
  /** Hashes, the latest last. */
  const known = new Set<string>();
  const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('base64');

  async function find({ kind, secret }: Credential, address: string): Promise<TokenHolder | undefined> {
    const hash = hashOf(secret);
    const look = async () => await (kind === 'token' ? tokens.findApiToken(secret, clock.now()) : tokens.findSession(secret, clock.now()));
    const found = await (known.has(hash) ? looks.pass(look) : guesses.pass(address, hash, look));
    known.delete(hash);
    if (found !== undefined) known.add(hash);
    const [oldest] = known;
    if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
    return found;
  }

  function isCrowded(credential: Credential | undefined, address: string): boolean {
    if (credential === undefined) return false;
    if (known.has(hashOf(credential.secret))) return looks.waiting >= MAX_WAITING_LOOKS;
    return guesses.waiting >= MAX_WAITING_GUESSES || guesses.waitingOf(address) >= MAX_WAITING_GUESSES_OF_ADDRESS;
  }

  const uses = new LastUses(async (name) => await tokens.noteUse(name, clock.now()), { clock, logger });

  /** What a browser was made to send by another site. SameSite keeps it out as well; this holds where that does not. */
  function isForeign(c: Context, isSaidNothing: boolean): boolean {
    const site = c.req.header('sec-fetch-site');
    if (site !== undefined) return site !== 'same-origin';
    const origin = c.req.header('origin');
    if (origin === undefined) return isSaidNothing;
    return origin !== publicOrigin && URL.parse(origin)?.host !== c.req.header('host');
  }

  /** Who sends the request: the one place that decides it. */
  async function authenticate(c: Context): Promise<Authentication> {
    const credential = shown(c);
    const address = addresses.ofRequest(c);
    const refused = (response: Response): Authentication => ({ kind: 'refused', response });
    if (isCrowded(credential, address)) {
      c.header('retry-after', '2');
      return refused(refuse(c, 503, 'LOOKS_TOO_MANY', 'too many requests wait for their credentials to be looked up: try again'));
    }
    const found = credential === undefined ? undefined : await find(credential, address);
    if (credential === undefined || found === undefined) {
      c.header('www-authenticate', 'Bearer realm="floe"');
      const why =
        credential === undefined
          ? 'send an API token: "Authorization: Bearer …"'
          : credential.kind === 'token'
            ? 'the API token is unknown, expired or was revoked: ask an administrator of this server for one'
            : 'the session has ended: sign in again';
      return refused(refuse(c, 401, 'UNAUTHENTICATED', why));
    }
    if (credential.kind === 'session' && c.req.method !== 'GET' && c.req.method !== 'HEAD' && isForeign(c, true))
      return refused(refuse(c, 403, 'FOREIGN_ORIGIN', 'this request does not come from the page of this server'));
    uses.note(found.name);
    return { kind: 'authenticated', actor: { ...found, kind: credential.kind }, credential };
  }

  const refusals = new RefusalNotes(store.audit);
  /** Whom to ask: the same for everybody who is refused at the time. */
  const administrators = atMostEvery(clock, ADMINISTRATORS_EVERY_MS, async () => await tokens.administrators(clock.now()));

  async function refuseAction(c: Context<AuthEnv>, actor: Actor, action: Action) {
    const role = roleFor(action);
    const subject = c.req.param('host') ?? c.req.param('sha') ?? c.req.param('name') ?? '';
    await refusals.note({
      at: clock.now(),
      actor: actor.name,
      action,
      subject,
      detail: `${article(actor.role)} may not: this needs the role ${role}`,
    });
    const names = await administrators();
    const whom = names.length === 0 ? 'an administrator of this server' : `an administrator (${names.join(', ')})`;
    const higher = role === 'administrator' ? 'the role administrator' : `the role ${role} or a higher one`;
    const needed = mayDo('submitter', action) ? `${higher}, or that of a submitter` : higher;
    return refuse(c, 403, 'ROLE_TOO_LOW', `${actor.name} is ${article(actor.role)} here, and this needs ${needed}: ask ${whom}`);
  }

  return {
    requireAction: (action, maxBodyBytes) => {
      const body = membersBody(maxBodyBytes);
      return saying(
        { kind: 'guard', action },
        createMiddleware<AuthEnv>(async (c, next) => {
          const authentication = await authenticate(c);
          if (authentication.kind === 'refused') return authentication.response;
          const { actor, credential } = authentication;
          if (!mayDo(actor.role, action)) return await refuseAction(c, actor, action);
          c.set('actor', actor);
          c.set('credential', credential);
          return await body(c, next);
        }),
      );
    },
    // It was valid before, so it has to wait only when it was forgotten.
    isGood: async (credential) => (await find(credential, 'signed in before')) !== undefined,
    async signIn(c, token) {
      if (isForeign(c, false)) return 'foreign';
      const secret = randomBytes(32).toString('base64url');
      const address = addresses.ofRequest(c);
      if (!(await guesses.pass(address, 'sign-in', async () => await tokens.createSession(secret, token, clock.now())))) return 'unknown';
      const secure = publicOrigin.startsWith('https:');
      setCookie(c, SESSION_COOKIE, secret, { httpOnly: true, sameSite: 'Strict', secure, path: '/', maxAge: COOKIE_LIFETIME_S });
      return 'signed-in';
    },
    async signOut(c) {
      if (isForeign(c, false)) return 'foreign';
      const secret = getCookie(c, SESSION_COOKIE);
      if (secret !== undefined) await guesses.pass(addresses.ofRequest(c), 'sign-out', async () => await tokens.endSession(secret));
      deleteCookie(c, SESSION_COOKIE, { path: '/' });
      return 'signed-out';
    },
  };
}

function article(role: Role): string {
  return `${/^[aeiou]/.test(role) ? 'an' : 'a'} ${role}`;
}

function shown(c: Context): Credential | undefined {
  const token = /^Bearer\s+(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
  if (token !== undefined) return { kind: 'token', secret: token };
  const session = getCookie(c, SESSION_COOKIE);
  return session === undefined ? undefined : { kind: 'session', secret: session };
}
