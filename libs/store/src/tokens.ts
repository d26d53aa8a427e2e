import type { HostName } from '@floe/model';
import { and, eq, gt, isNull, lt } from 'drizzle-orm';
import { createApiTokens } from './api-tokens.ts';
import type { Database } from './database.ts';
import { createSessions } from './sessions.ts';
import type { ConsumedToken, TokenStore } from './store.ts';
import { enrolmentTokens } from './tables/index.ts';
import { hashToken } from './token-hash.ts';

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

export function createTokenStore(db: Database): TokenStore {
  return {
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
    ...createApiTokens(db),
    ...createSessions(db),
  };
}
