import { mayDo, roleFor, type Action, type Role } from '@floe/model';
import type { Clock, Logger } from '@floe/runtime';
import type { StorePart, TokenHolder } from '@floe/store';
import type { Context, MiddlewareHandler } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { createMiddleware } from 'hono/factory';
import { atMostEvery } from './at-most-every.ts';
import { newSessionSecret, refuseLook, type Credential, type CredentialLooks, type Looked } from './credential-looks.ts';
import { membersBody } from './http/bodies.ts';
import { ReadGate } from './http/read-gate.ts';
import { saying } from './openapi/described.ts';
import { refuse } from './http-error.ts';
import { LastUses } from './last-uses.ts';
import { RefusalNotes } from './refusal-notes.ts';

const SESSION_COOKIE = 'floe_session';
/** The server ends a session by itself sooner: this only lets the browser forget it. */
const COOKIE_LIFETIME_S = 30 * 24 * 3600;
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

type Authentication =
  | { readonly kind: 'authenticated'; readonly actor: Actor; readonly credential: Credential }
  /** The answer. */
  | { readonly kind: 'refused'; readonly response: Response };

export interface GuardOptions {
  /** Where more is to be sent than usual. */
  readonly maxBodyBytes?: number;
  /** The answer is sent piece by piece, for as long as its reader takes it; its route says how many there may be. None is begun for who asks for its headers alone: it would never end. */
  readonly isStream?: boolean;
}

export interface Auth {
  /**
   * The guard of a route: requires a credential whose role may do `action`, and bounds the body, and how much is read at a time. Every route of the API has one
   * next to its path; `all-routes.test.ts` finds one that has not.
   */
  readonly requireAction: (action: Action, options?: GuardOptions) => MiddlewareHandler<AuthEnv>;
  /** Whether the credential that `actor` showed is still good: for answers that go on for hours. */
  isGood(credential: Credential, actor: Actor): Promise<boolean>;
  /** Turns an API token into a session of this browser, in a cookie that scripts cannot read and other sites cannot send. False: it is not accepted. */
  signIn(c: Context, token: string): Promise<Looked<boolean> | { readonly kind: 'foreign' }>;
  signOut(c: Context): Promise<Looked<boolean> | { readonly kind: 'foreign' }>;
}

export interface AuthDeps {
  readonly store: StorePart<{ tokens: 'noteUse' | 'administrators'; audit: 'countRefusals' }>;
  readonly looks: CredentialLooks;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where the page is. */
  readonly publicUrl: string;
}

/** Who may use the API. */
export function createAuth({ store, looks, clock, logger, publicUrl }: AuthDeps): Auth {
  const { tokens } = store;
  const publicOrigin = new URL(publicUrl).origin;
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
    const refused = (response: Response): Authentication => ({ kind: 'refused', response });
    const looked: Looked<TokenHolder> = credential === undefined ? { kind: 'looked', result: undefined } : await looks.holder(c, credential);
    if (looked.kind !== 'looked') return refused(refuseLook(c, looked));
    const found = looked.result;
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

  const reads = new ReadGate(clock);
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
    requireAction: (action, { maxBodyBytes, isStream = false } = {}) => {
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
          const isRead = c.req.method === 'GET' || c.req.method === 'HEAD';
          if (!isRead) return await body(c, next);
          if (isStream) return c.req.method === 'HEAD' ? c.body(null, 200) : await next();
          return await reads.pass(c, { token: actor.name, secret: credential.secret }, next);
        }),
      );
    },
    isGood: async (credential, actor) => await looks.isStillGood(credential, actor),
    async signIn(c, token) {
      if (isForeign(c, false)) return { kind: 'foreign' };
      const secret = newSessionSecret();
      const looked = await looks.signIn(c, token, secret);
      const secure = publicOrigin.startsWith('https:');
      if (looked.kind === 'looked' && looked.result === true)
        setCookie(c, SESSION_COOKIE, secret, { httpOnly: true, sameSite: 'Strict', secure, path: '/', maxAge: COOKIE_LIFETIME_S });
      return looked;
    },
    async signOut(c) {
      if (isForeign(c, false)) return { kind: 'foreign' };
      const secret = getCookie(c, SESSION_COOKIE);
      const looked: Looked<boolean> = secret === undefined ? { kind: 'looked', result: false } : await looks.signOut(c, secret);
      if (looked.kind === 'looked') deleteCookie(c, SESSION_COOKIE, { path: '/' });
      return looked;
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
