import { createHash, randomBytes } from 'node:crypto';
import { FairGate, type Clock, type Rate } from '@floe/runtime';
import type { ConsumedToken, StorePart, TokenHolder } from '@floe/store';
import type { EnrolRequest } from '@floe/protocol';
import type { Context } from 'hono';
import { API_TOKEN } from './admin-token.ts';
import type { ClientAddresses } from './http/client-address.ts';
import { Tries } from './http/tries.ts';
import { refuse } from './http-error.ts';

/**
 * A guess is a look at the database. So few are under way at a time, and so many wait; addresses take turns, and so do the credentials that come from
 * one.
 */
const GUESSES = { places: 2, placesOfGroup: 1, waiting: 2_000, waitingOfGroup: 25 } as const;
/** Credentials that were good lately have a way of their own, so that nobody who may come in waits behind guesses. Tokens take turns. */
const LOOKS = { places: 8, placesOfGroup: 4, waiting: 1_000, waitingOfGroup: 250 } as const;
/** How many credentials are remembered as good. They are looked up all the same: one that was revoked is worth nothing. */
const MAX_KNOWN = 1_000;

/** The secret of a new session. */
export function newSessionSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** The secret of a new one-time token, by which a machine enrols. */
export function newEnrolmentToken(): string {
  return randomBytes(24).toString('base64url');
}

/** What a request shows: an API token, or the session of a browser. */
export interface Credential {
  readonly kind: 'token' | 'session';
  readonly secret: string;
}

type Kind = Credential['kind'] | 'sign-in' | 'sign-out' | 'enrolment';

/** How often one address may try. */
interface TryLimit {
  readonly rate: Rate;
  /** Those that were good do not count. */
  readonly isOfRefused: boolean;
  readonly code: string;
  readonly message: string;
}

interface Rule {
  /** What has another form is not looked up: the server never made it. */
  readonly form: RegExp;
  readonly limit?: TryLimit;
}

const SESSION = /^[\w-]{43}$/;
const RULES: Readonly<Record<Kind, Rule>> = {
  token: { form: API_TOKEN },
  session: { form: SESSION },
  'sign-in': {
    form: API_TOKEN,
    limit: {
      rate: { burst: 10, perSecond: 0.2 },
      isOfRefused: false,
      code: 'SIGN_INS_TOO_MANY',
      message: 'more than 10 tries to sign in from one address',
    },
  },
  'sign-out': {
    form: SESSION,
    limit: {
      rate: { burst: 20, perSecond: 0.2 },
      isOfRefused: true,
      code: 'SIGN_OUTS_TOO_MANY',
      message: 'more than 20 tries from one address to end sessions that do not exist',
    },
  },
  enrolment: {
    form: /^[\w-]{32}$/,
    limit: {
      rate: { burst: 20, perSecond: 0.2 },
      isOfRefused: true,
      code: 'ENROLMENTS_TOO_MANY',
      message: 'more than 20 enrolments from one address were refused',
    },
  },
};

/** It was not looked up. */
type NotLooked = { readonly kind: 'crowded' } | { readonly kind: 'too-often'; readonly limit: TryLimit };
/** `result` undefined: it has not the form of such a credential. */
export type Looked<Result> = { readonly kind: 'looked'; readonly result: Result | undefined } | NotLooked;

interface Look<Result> {
  readonly kind: Kind;
  readonly secret: string;
  readonly ask: () => Promise<Result>;
  readonly isGood: (result: Result) => boolean;
}

export interface CredentialLooksDeps {
  readonly tokens: StorePart<{ tokens: 'findApiToken' | 'findSession' | 'createSession' | 'endSession' | 'consumeEnrolmentToken' }>['tokens'];
  readonly clock: Clock;
  readonly addresses: ClientAddresses;
}

/** Whether credentials are good: the one way to ask the store, and so the one place that bounds how often and by how many it is asked. */
export class CredentialLooks {
  readonly #deps: CredentialLooksDeps;
  readonly #guesses = new FairGate(GUESSES);
  readonly #looks = new FairGate(LOOKS);
  /** Hashes with the name of the token, the latest last. */
  readonly #known = new Map<string, string>();
  readonly #tries = new Map<TryLimit, Tries>();

  constructor(deps: CredentialLooksDeps) {
    this.#deps = deps;
    for (const { limit } of Object.values(RULES)) if (limit !== undefined) this.#tries.set(limit, new Tries(limit.rate, deps.clock));
  }

  /** Whose credential it is. */
  async holder(c: Context, credential: Credential): Promise<Looked<TokenHolder>> {
    const looked = await this.#look(c, { ...credential, ask: async () => await this.#find(credential), isGood: (found) => found !== undefined });
    if (looked.kind === 'looked') this.#note(credential, looked.result);
    return looked;
  }

  /** Whether a credential of `holder`, who was admitted by it, is still good. */
  async isStillGood(credential: Credential, { name }: Pick<TokenHolder, 'name'>): Promise<boolean> {
    const place = await this.#looks.enter(name, hashOf(credential.secret));
    if (typeof place === 'string') return false;
    using _place = place;
    const found = await this.#find(credential);
    this.#note(credential, found);
    return found !== undefined;
  }

  /** False: the token is not accepted. */
  async signIn(c: Context, token: string, newSecret: string): Promise<Looked<boolean>> {
    const { tokens, clock } = this.#deps;
    return await this.#look(c, {
      kind: 'sign-in',
      secret: token,
      ask: async () => await tokens.createSession(newSecret, token, clock.now()),
      isGood: (isSignedIn) => isSignedIn,
    });
  }

  /** False: there was no such session. */
  async signOut(c: Context, secret: string): Promise<Looked<boolean>> {
    const ask = async (): Promise<boolean> => await this.#deps.tokens.endSession(secret);
    const looked = await this.#look(c, { kind: 'sign-out', secret, ask, isGood: (isEnded) => isEnded });
    if (looked.kind === 'looked') this.#known.delete(hashOf(secret));
    return looked;
  }

  async enrol(c: Context, { token, host }: Pick<EnrolRequest, 'token' | 'host'>): Promise<Looked<ConsumedToken>> {
    const { tokens, clock } = this.#deps;
    return await this.#look(c, {
      kind: 'enrolment',
      secret: token,
      ask: async () => await tokens.consumeEnrolmentToken(token, host, clock.now()),
      isGood: ({ kind }) => kind === 'consumed',
    });
  }

  async #look<Result>(c: Context, { kind, secret, ask, isGood }: Look<Result>): Promise<Looked<Result>> {
    const { form, limit } = RULES[kind];
    const address = this.#deps.addresses.ofRequest(c);
    const hash = hashOf(secret);
    const name = this.#known.get(hash);
    const isLimited = limit !== undefined && !(limit.isOfRefused && name !== undefined);
    const tries = isLimited ? this.#tries.get(limit) : undefined;
    if (isLimited && tries?.take(address) === false) return { kind: 'too-often', limit };
    if (!form.test(secret)) return { kind: 'looked', result: undefined };
    const place = await (name === undefined ? this.#guesses.enter(address, hash) : this.#looks.enter(name, hash));
    if (typeof place === 'string') {
      tries?.giveBack(address);
      return { kind: 'crowded' };
    }
    using _place = place;
    const result = await ask();
    if (limit?.isOfRefused === true && isGood(result)) tries?.giveBack(address);
    return { kind: 'looked', result };
  }

  async #find({ kind, secret }: Credential): Promise<TokenHolder | undefined> {
    const { tokens, clock } = this.#deps;
    return await (kind === 'token' ? tokens.findApiToken(secret, clock.now()) : tokens.findSession(secret, clock.now()));
  }

  #note({ secret }: Credential, found: TokenHolder | undefined): void {
    const hash = hashOf(secret);
    this.#known.delete(hash);
    if (found !== undefined) this.#known.set(hash, found.name);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
  }
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64');
}

/** The answer when a credential was not looked up. */
export function refuseLook(c: Context, notLooked: NotLooked) {
  if (notLooked.kind === 'crowded') {
    c.header('retry-after', '2');
    return refuse(c, 503, 'LOOKS_TOO_MANY', 'too many requests wait for their credentials to be looked up: try again');
  }
  const { rate, code, message } = notLooked.limit;
  c.header('retry-after', String(1 / rate.perSecond));
  return refuse(c, 429, code, `${message}: try again in a while`);
}
