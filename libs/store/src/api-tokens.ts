import { forgeLogin as readForgeLogin, ROLES, signerName, storableText, type Role } from '@floe/model';
import { and, asc, eq, gt, isNull, lt, or, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import type { ApiToken, NewApiToken, TokenDescription } from './records.ts';
import { RowReader } from './row-reader.ts';
import type { TokenStore } from './store.ts';
import { apiTokens } from './tables/index.ts';
import { hashToken } from './token-hash.ts';

/** Resolution of "last used", so that reading a page does not cause a write per request. */
const LAST_USED_STEP_MS = 60_000;
/** So many names are enough to know whom to ask. */
const NAMED_ADMINISTRATORS = 3;

/** It has no end, or the end is still to come. */
export function isInForce(now: number): SQL | undefined {
  return or(isNull(apiTokens.expiresAt), gt(apiTokens.expiresAt, now));
}

/** Whose token it is: of the same person there may be several. */
export function personOf({ name, person }: { readonly name: string; readonly person: string | null }): string {
  return storableText(person ?? name, 64);
}

/** Undefined: no code of ours wrote it, and it may nothing. */
export function readRole(text: string): Role | undefined {
  return ROLES.find((role) => role === text);
}

/** Locked, so that one whose token is being revoked does not leave another one behind. */
async function isAdministrator(tx: Database, by: string, at: number): Promise<boolean> {
  const isMaker = and(eq(apiTokens.name, by), eq(apiTokens.role, 'administrator'), isInForce(at));
  const [maker] = await tx.select({ name: apiTokens.name }).from(apiTokens).where(isMaker).for('key share');
  return maker !== undefined;
}

async function describe(db: Database, { name, by, at, person, forgeLogin, signer }: TokenDescription): ReturnType<TokenStore['describeApiToken']> {
  return await db.transaction(async (tx) => {
    if (!(await isAdministrator(tx, by, at))) return 'not-allowed';
    const set = {
      ...(person === undefined ? {} : { person }),
      ...(forgeLogin === undefined ? {} : { forgeLogin }),
      ...(signer === undefined ? {} : { signer }),
    };
    const described = await tx.update(apiTokens).set(set).where(eq(apiTokens.name, name)).returning({ name: apiTokens.name });
    return described.length > 0 ? 'described' : 'unknown';
  });
}

async function create(
  db: Database,
  { name, role, token, at, by, person, forgeLogin, signer, expiresAt }: NewApiToken,
): ReturnType<TokenStore['createApiToken']> {
  return await db.transaction(async (tx) => {
    if (by !== undefined && !(await isAdministrator(tx, by, at))) return 'not-allowed';
    const created = await tx
      .insert(apiTokens)
      .values({ hash: hashToken(token), name, role, createdAt: at, createdBy: by, person, forgeLogin, signer, expiresAt })
      .onConflictDoNothing({ target: apiTokens.name })
      .returning({ name: apiTokens.name });
    return created.length > 0 ? 'created' : 'name-taken';
  });
}

/**
 * Locks the tokens of all administrators, always in the same order. Of two who revoke each other at once, the second waits for
 * the first, and then does not find itself any more.
 */
async function revoke(db: Database, { name, by, now }: Parameters<TokenStore['revokeApiToken']>[0]): ReturnType<TokenStore['revokeApiToken']> {
  return await db.transaction(async (tx) => {
    const locked = await tx
      .select({ name: apiTokens.name, expiresAt: apiTokens.expiresAt })
      .from(apiTokens)
      .where(eq(apiTokens.role, 'administrator'))
      .orderBy(asc(apiTokens.hash))
      .for('update');
    const administrators = locked.filter(({ expiresAt }) => expiresAt === null || expiresAt > now);
    if (!administrators.some((each) => each.name === by)) return 'not-allowed';
    const isOfAdministrator = administrators.some((each) => each.name === name);
    // Another one with an end would be gone some day, and nobody left to make one.
    if (isOfAdministrator && !administrators.some((each) => each.name !== name && each.expiresAt === null)) return 'last-administrator';
    const revoked = await tx.delete(apiTokens).where(eq(apiTokens.name, name)).returning({ name: apiTokens.name });
    return revoked.length > 0 ? 'revoked' : 'unknown';
  });
}

function fromRow(row: Omit<typeof apiTokens.$inferSelect, 'hash'>): ApiToken {
  const reader = new RowReader();
  return {
    name: storableText(row.name, 64),
    role: readRole(row.role),
    createdAt: reader.time('created_at', row.createdAt),
    createdBy: row.createdBy === null ? undefined : storableText(row.createdBy, 64),
    person: personOf(row),
    forgeLogin: readForgeLogin(row.forgeLogin),
    signer: signerName(row.signer),
    lastUsedAt: reader.timeOrNone('last_used_at', row.lastUsedAt),
    expiresAt: reader.timeOrNone('expires_at', row.expiresAt),
  };
}

type ApiTokenMethods =
  | 'createApiToken'
  | 'describeApiToken'
  | 'findApiToken'
  | 'listApiTokens'
  | 'noteUse'
  | 'administrators'
  | 'revokeApiToken'
  | 'pruneApiTokens';

export function createApiTokens(db: Database): Pick<TokenStore, ApiTokenMethods> {
  const { name, role, createdAt, createdBy, person, forgeLogin: login, signer, lastUsedAt, expiresAt } = apiTokens;
  return {
    createApiToken: async (token) => await create(db, token),
    describeApiToken: async (description) => await describe(db, description),
    async findApiToken(token, now) {
      const [row] = await db
        .select({ name, role, person })
        .from(apiTokens)
        .where(and(eq(apiTokens.hash, hashToken(token)), isInForce(now)));
      const known = row === undefined ? undefined : readRole(row.role);
      return row === undefined || known === undefined ? undefined : { name: row.name, role: known, person: personOf(row) };
    },
    async listApiTokens() {
      const rows = await db
        .select({ name, role, createdAt, createdBy, person, forgeLogin: login, signer, lastUsedAt, expiresAt })
        .from(apiTokens)
        .orderBy(asc(name));
      return rows.map(fromRow);
    },
    async noteUse(used, now) {
      const isOld = or(isNull(lastUsedAt), lt(lastUsedAt, now - LAST_USED_STEP_MS), gt(lastUsedAt, now + LAST_USED_STEP_MS));
      await db
        .update(apiTokens)
        .set({ lastUsedAt: now })
        .where(and(eq(name, used), isOld));
    },
    async administrators(now) {
      const rows = await db
        .select({ name })
        .from(apiTokens)
        .where(and(eq(role, 'administrator'), isInForce(now)))
        .orderBy(asc(name))
        .limit(NAMED_ADMINISTRATORS);
      return rows.map((row) => storableText(row.name, 64));
    },
    revokeApiToken: async (revocation) => await revoke(db, revocation),
    async pruneApiTokens(before) {
      return (await db.delete(apiTokens).where(lt(expiresAt, before)).returning({ name })).length;
    },
  };
}
