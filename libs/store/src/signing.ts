import { storableText } from '@floe/model';
import { and, asc, eq, isNull, sql } from 'drizzle-orm';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import type { SigningAnswer, SigningStore } from './signing-contract.ts';
import { signingRequests } from './tables/index.ts';

/** So many are answered before it is looked again: the oldest first. */
const AT_ONCE = 500;
const MAX_REFUSAL_CHARACTERS = 1_000;
/** What it was refused for may end: a report that comes late, a key that an administrator corrects. Nothing else asks a second time while a host stays connected. */
const REFUSED_FOR_MS = 5 * 60_000;

const isUnanswered = and(isNull(signingRequests.envelope), isNull(signingRequests.refused));

function answerOf({ envelope, refused }: { readonly envelope: string | null; readonly refused: string | null }): SigningAnswer {
  if (envelope !== null) return { envelope };
  return refused === null ? undefined : { refused };
}

export function createSigningStore(db: Database): SigningStore {
  return {
    async ask({ key, repositoryId, host, request }, at) {
      const [known] = await db
        .select({ envelope: signingRequests.envelope, refused: signingRequests.refused, at: signingRequests.at })
        .from(signingRequests)
        .where(eq(signingRequests.key, key));
      const isOld = typeof known?.refused === 'string' && Math.abs(at - known.at) >= REFUSED_FOR_MS;
      if (known !== undefined && !isOld) return answerOf(known);
      await db.transaction(async (tx) => {
        // Of two servers that ask at once one row stays.
        if (known === undefined) await tx.insert(signingRequests).values({ key, repositoryId, host, request, at }).onConflictDoNothing();
        else
          await tx
            .update(signingRequests)
            .set({ refused: null, request, at })
            .where(and(eq(signingRequests.key, key), eq(signingRequests.at, known.at)));
        await notify(tx, { topic: 'repository', id: repositoryId });
      });
      return known && answerOf(known);
    },
    async waiting(repositoryId) {
      return await db
        .select({
          key: signingRequests.key,
          repositoryId: signingRequests.repositoryId,
          host: signingRequests.host,
          request: signingRequests.request,
        })
        .from(signingRequests)
        .where(and(eq(signingRequests.repositoryId, repositoryId), isUnanswered))
        .orderBy(asc(signingRequests.at), asc(signingRequests.key))
        .limit(AT_ONCE);
    },
    answer: async (key, answer) =>
      await db.transaction(async (tx) => {
        const set = 'envelope' in answer ? { envelope: answer.envelope } : { refused: storableText(answer.refused, MAX_REFUSAL_CHARACTERS) };
        const answered = await tx
          .update(signingRequests)
          .set(set)
          .where(and(eq(signingRequests.key, key), isUnanswered))
          .returning({ host: signingRequests.host });
        for (const { host } of answered) await notify(tx, { topic: 'host', host });
      }),
    prune: async (before) => await deleteInBatches(db, signingRequests, sql`signing_requests.at < ${before}`),
  };
}
