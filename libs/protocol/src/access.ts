import {
  FORGE_LOGIN_RULE,
  forgeLogin,
  MAX_DURATION_MS,
  MAX_FORGE_LOGIN_CHARACTERS,
  MAX_SIGNER_CHARACTERS,
  RESERVED_TOKEN_NAMES,
  ROLES,
  SIGNER_RULE,
  signerName,
  TOKEN_NAME_FORM,
  TOKEN_NAME_RULE,
} from '@floe/model';
import * as v from 'valibot';
import { Counter, list, prose, Timestamp, word } from './bounds.ts';

/** Many more than a company has people and programs. */
const MAX_TOKENS = 10_000;
const MAX_AUDIT_ENTRIES = 1_000;
/** Shorter, it would be over before anybody used it. */
const MIN_LIFETIME_MS = 60_000;

export const Role = v.picklist(ROLES, `the roles are ${ROLES.join(', ')}`);

/** A name that a new token may have. */
export const TokenName = v.pipe(
  v.string(),
  v.maxLength(64, TOKEN_NAME_RULE),
  v.regex(TOKEN_NAME_FORM, TOKEN_NAME_RULE),
  v.check((name) => !RESERVED_TOKEN_NAMES.includes(name), 'this is the name of the server in the audit log: choose another'),
);

/** A login at a forge, in lower case whatever the case that it was given in. */
export const ForgeLogin = v.pipe(
  v.string(),
  v.maxLength(MAX_FORGE_LOGIN_CHARACTERS, FORGE_LOGIN_RULE),
  v.check((text) => forgeLogin(text) !== undefined, FORGE_LOGIN_RULE),
  v.transform((text) => forgeLogin(text) ?? text),
);

/** Who signs commits, by the files of allowed signers. */
export const SignerName = v.pipe(
  v.string(),
  v.maxLength(MAX_SIGNER_CHARACTERS, SIGNER_RULE),
  v.check((text) => signerName(text) !== undefined, SIGNER_RULE),
  v.transform((text) => signerName(text) ?? text),
);

/** How long a token is good, in ms from now. */
export const TokenLifetime = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(MIN_LIFETIME_MS, 'the end of a token is at least a minute from now'),
  v.maxValue(MAX_DURATION_MS, 'the end of a token is at most ten years from now: leave it out for none'),
);

/** `GET /api/session`: who asks. `token`: by an API token; `session`: signed in on the page with one. `person`: whose token it is. */
export const ActorView = v.object({ name: prose(64), role: Role, person: v.optional(prose(64)), kind: v.picklist(['token', 'session']) });
export type ActorView = v.InferOutput<typeof ActorView>;

/** `POST /api/tokens`. Without `expiresInMs` it has no end, and without `person` it belongs to a person of its own name. */
export const NewTokenRequest = v.strictObject({
  name: TokenName,
  role: Role,
  expiresInMs: v.optional(TokenLifetime),
  person: v.optional(TokenName),
  forgeLogin: v.optional(ForgeLogin),
  signer: v.optional(SignerName),
});
export type NewTokenRequest = v.InferOutput<typeof NewTokenRequest>;

/** Its answer: the only time that the token is shown. */
export const NewTokenResponse = v.object({ name: prose(64), role: Role, token: word(128), expiresAt: v.nullable(Timestamp) });
export type NewTokenResponse = v.InferOutput<typeof NewTokenResponse>;

/** One line of `GET /api/tokens`. */
export const TokenView = v.object({
  name: prose(64),
  /** Null: what is stored is no role, and the token is not accepted. */
  role: v.nullable(Role),
  createdAt: Timestamp,
  /** Null: the server itself, or it was not recorded. */
  createdBy: v.nullable(prose(64)),
  /** Whose it is: several tokens of one person approve once. */
  person: v.optional(v.nullable(prose(64)), null),
  /** The person's login at the forge. */
  forgeLogin: v.optional(v.nullable(prose(MAX_FORGE_LOGIN_CHARACTERS)), null),
  /** The person as a signer of commits. */
  signer: v.optional(v.nullable(prose(MAX_SIGNER_CHARACTERS)), null),
  /** To the minute. */
  lastUsedAt: v.nullable(Timestamp),
  expiresAt: v.nullable(Timestamp),
});
export type TokenView = v.InferOutput<typeof TokenView>;
export const TokenViews = list(TokenView, MAX_TOKENS);

/** One line of `GET /api/audit`, newest first. */
export const AuditEntryView = v.object({
  /** `before` of the request for those that come after it in the list. */
  id: Counter,
  at: Timestamp,
  actor: prose(),
  action: prose(64),
  /** A host, a commit, a token; empty where it is none. */
  subject: prose(256),
  /** The reason, or what was refused. */
  detail: prose(),
  /** It was refused: so often on that day, the last time then. Null: it was done. */
  refused: v.nullable(v.object({ count: Counter, lastAt: Timestamp })),
});
export type AuditEntryView = v.InferOutput<typeof AuditEntryView>;
export const AuditEntryViews = list(AuditEntryView, MAX_AUDIT_ENTRIES);

/** `GET /api/audit/verification`: whether the chain of the audit log holds. */
export const AuditVerificationView = v.object({
  /** Entries that fit. */
  entries: Counter,
  /** Ends of the log that were signed in the statement log, and compared. */
  heads: Counter,
  /** The end of the chain; null: nothing is chained yet. */
  head: v.nullable(v.object({ id: Counter, at: Timestamp, hash: word(64) })),
  /** The first entry that does not fit, in words; null: all fit. */
  broken: v.nullable(v.object({ id: Counter, at: Timestamp, description: prose() })),
  /** Files of the statement log that should be signed ends, and are not. */
  unsigned: list(prose(64), 1_000),
});
export type AuditVerificationView = v.InferOutput<typeof AuditVerificationView>;
