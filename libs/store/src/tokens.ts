import type { HostName } from '@floe/model';
import type { Clock } from '@floe/runtime';
import { and, eq, gt, isNull, lt, or } from 'drizzle-orm';
import type { Database } from './database.ts';
import { createSessions } from './sessions.ts';
import type { ConsumedToken, TokenStore } from './store.ts';
import { apiTokens, enrolmentTokens } from './tables/index.ts';
import { hashToken } from './token-hash.ts';

/** Resolution of "last used", so that reading a page does not cause a write per request. */
const LAST_USED_STEP_MS = 60_000;

async function findApiToken(db: Database, token: string, now: number): ReturnType<TokenStore['findApiToken']> {
  const hash = hashToken(token);
  const [row] = await db.select({ name: apiTokens.name, lastUsedAt: apiTokens.lastUsedAt }).from(apiTokens).where(eq(apiTokens.hash, hash));
  if (row === undefined) return undefined;
  if (row.lastUsedAt === null || row.lastUsedAt < now - LAST_USED_STEP_MS) {
    await db
      .update(apiTokens)
      .set({ lastUsedAt: now })
      .where(and(eq(apiTokens.hash, hash), or(isNull(apiTokens.lastUsedAt), lt(apiTokens.lastUsedAt, now))));
  }
  return { name: row.name, lastUsedAt: row.lastUsedAt ?? undefined };
}

/**
 * Checks and uses the token in one statement: of two concurrent requests the second waits for the first's row, finds it used, and
 * learns the reason by a second query.
 */
async function consume(db: Database, token: string, host: typeof enrolmentTokens.$inferSelect.host, now: number): Promise<ConsumedToken> {
  const hash = hashToken(token);
  const consumed = await db
    .update(enrolmentTokens)
    .set({ usedAt: now })
    .where(and(eq(enrolmentTokens.hash, hash), eq(enrolmentTokens.host, host), isNull(enrolmentTokens.usedAt), gt(enrolmentTokens.expiresAt, now)))
    .returning({ host: enrolmentTokens.host });
  if (consumed.length > 0) return { kind: 'consumed' };
  const [row] = await db
    .select({ host: enrolmentTokens.host, usedAt: enrolmentTokens.usedAt })
    .from(enrolmentTokens)
    .where(eq(enrolmentTokens.hash, hash));
  if (row === undefined) return { kind: 'unknown' };
  if (row.host !== host) return { kind: 'other-host' };
  return { kind: row.usedAt === null ? 'expired' : 'used' };
}

/** A used token stays, so that a second use can be distinguished from a guess. */
async function voidEnrolmentTokens(db: Database, host: HostName): Promise<void> {
  await db.delete(enrolmentTokens).where(and(eq(enrolmentTokens.host, host), isNull(enrolmentTokens.usedAt)));
}

export function createTokenStore(db: Database, clock: Clock): TokenStore {
  return {
    async createApiToken(name, token, at) {
      const created = await db
        .insert(apiTokens)
        .values({ hash: hashToken(token), name, createdAt: at })
        .onConflictDoNothing({ target: apiTokens.name })
        .returning({ name: apiTokens.name });
      return created.length > 0 ? 'created' : 'name-taken';
    },
    findApiToken: async (token) => await findApiToken(db, token, clock.now()),
    hasApiTokens: async () => (await db.select({ name: apiTokens.name }).from(apiTokens).limit(1)).length > 0,
    async revokeApiToken(name) {
      const revoked = await db.delete(apiTokens).where(eq(apiTokens.name, name)).returning({ name: apiTokens.name });
      return revoked.length > 0;
    },
    async createEnrolmentToken(host, token, expiresAt) {
      await db.transaction(async (tx) => {
        await voidEnrolmentTokens(tx, host);
        await tx.insert(enrolmentTokens).values({ hash: hashToken(token), host, expiresAt });
      });
    },
    voidEnrolmentTokens: async (host) => await voidEnrolmentTokens(db, host),
    async pruneEnrolmentTokens(before) {
      return (await db.delete(enrolmentTokens).where(lt(enrolmentTokens.expiresAt, before)).returning({ host: enrolmentTokens.host })).length;
    },
    consumeEnrolmentToken: async (token, host, now) => await consume(db, token, host, now),
    ...createSessions(db),
  };
}
