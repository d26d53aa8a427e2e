import { and, desc, eq, gt, inArray, lt, lte, or } from 'drizzle-orm';
import { isInForce, personOf, readRole } from './api-tokens.ts';
import type { Database } from './database.ts';
import type { TokenStore } from './store.ts';
import { apiTokens, sessions } from './tables/index.ts';
import { hashToken } from './token-hash.ts';

const DAY_MS = 24 * 3600_000;
/** A session that is not used for this long ends. */
const IDLE_MS = 7 * DAY_MS;
/** Every session ends after this long. */
const LIFETIME_MS = 30 * DAY_MS;
/** Resolution of "last used", so that reading a page does not cause a write per request. */
const LAST_USED_STEP_MS = 10 * 60_000;
/** Sessions of one token; beyond that the longest unused ones end. */
const MAX_SESSIONS = 50;

async function create(db: Database, secret: string, token: string, now: number): Promise<boolean> {
  const tokenHash = hashToken(token);
  return await db.transaction(async (tx) => {
    // Locked, so that it is not revoked before the insert, which would then violate its foreign key.
    const [owner] = await tx
      .select({ role: apiTokens.role })
      .from(apiTokens)
      .where(and(eq(apiTokens.hash, tokenHash), isInForce(now)))
      .for('key share');
    if (owner === undefined || readRole(owner.role) === undefined) return false;
    await tx.insert(sessions).values({ hash: hashToken(secret), tokenHash, role: owner.role, createdAt: now, lastUsedAt: now });
    const surplus = tx
      .select({ hash: sessions.hash })
      .from(sessions)
      .where(eq(sessions.tokenHash, tokenHash))
      .orderBy(desc(sessions.lastUsedAt), desc(sessions.createdAt), sessions.hash)
      .offset(MAX_SESSIONS);
    await tx.delete(sessions).where(inArray(sessions.hash, surplus));
    return true;
  });
}

async function find(db: Database, secret: string, now: number): ReturnType<TokenStore['findSession']> {
  const hash = hashToken(secret);
  const [row] = await db
    .select({ name: apiTokens.name, role: apiTokens.role, person: apiTokens.person, lastUsedAt: sessions.lastUsedAt })
    .from(sessions)
    .innerJoin(apiTokens, and(eq(apiTokens.hash, sessions.tokenHash), eq(apiTokens.role, sessions.role)))
    .where(and(eq(sessions.hash, hash), isInForce(now), gt(sessions.lastUsedAt, now - IDLE_MS), gt(sessions.createdAt, now - LIFETIME_MS)));
  const role = row === undefined ? undefined : readRole(row.role);
  if (row === undefined || role === undefined) return undefined;
  if (row.lastUsedAt < now - LAST_USED_STEP_MS) {
    await db
      .update(sessions)
      .set({ lastUsedAt: now })
      .where(and(eq(sessions.hash, hash), lt(sessions.lastUsedAt, now)));
  }
  return { name: row.name, role, person: personOf(row) };
}

/** Number of sessions. */
export function createSessions(db: Database): Pick<TokenStore, 'createSession' | 'findSession' | 'endSession' | 'pruneSessions'> {
  return {
    createSession: async (secret, token, now) => await create(db, secret, token, now),
    findSession: async (secret, now) => await find(db, secret, now),
    async endSession(secret) {
      const ended = await db
        .delete(sessions)
        .where(eq(sessions.hash, hashToken(secret)))
        .returning({ hash: sessions.hash });
      return ended.length > 0;
    },
    async pruneSessions(now) {
      const ended = or(lte(sessions.lastUsedAt, now - IDLE_MS), lte(sessions.createdAt, now - LIFETIME_MS));
      return (await db.delete(sessions).where(ended).returning({ hash: sessions.hash })).length;
    },
  };
}
