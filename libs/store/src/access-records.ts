import type { Role } from '@floe/model';
import type { Timestamp } from './timestamp.ts';

/** What somebody did. */
export interface AuditEntry {
  readonly at: Timestamp;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: string;
}

/** An entry of the audit log, as it is read. */
export interface ListedAuditEntry extends AuditEntry {
  /** Later entries have higher ones. */
  readonly id: number;
  /** It was refused, so often on one day, the last time then. The subject and the detail are those of the last time. */
  readonly refused?: { readonly count: number; readonly lastAt: Timestamp } | undefined;
}

/** The holder of an API token, or of a session that was made with one. */
export interface TokenHolder {
  /** The token's name. */
  readonly name: string;
  readonly role: Role;
  /** Whose it is. */
  readonly person: string;
}

export interface NewApiToken {
  readonly name: string;
  readonly role: Role;
  readonly token: string;
  readonly at: Timestamp;
  /** The token that asked for it; undefined: the server itself. */
  readonly by?: string | undefined;
  /** Whose it is; undefined: a person of its own. */
  readonly person?: string | undefined;
  readonly forgeLogin?: string | undefined;
  readonly signer?: string | undefined;
  readonly expiresAt?: Timestamp | undefined;
}

/** What is to change of a token's description; undefined stays, null is removed. */
export interface TokenDescription {
  readonly name: string;
  /** The token that asks. */
  readonly by: string;
  readonly at: Timestamp;
  readonly person?: string | null | undefined;
  readonly forgeLogin?: string | null | undefined;
  readonly signer?: string | null | undefined;
}

/** An API token without its secret. */
export interface ApiToken {
  readonly name: string;
  /** Undefined: what is stored is no role, and the token is not accepted. */
  readonly role: Role | undefined;
  readonly createdAt: Timestamp;
  readonly createdBy: string | undefined;
  readonly person: string;
  readonly forgeLogin: string | undefined;
  readonly signer: string | undefined;
  readonly lastUsedAt: Timestamp | undefined;
  readonly expiresAt: Timestamp | undefined;
}
