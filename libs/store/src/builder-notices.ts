import { storableText } from '@floe/model';
import { and, asc, eq, gt, lt, type SQL, sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { BuilderNotice, BuilderNoticeStore, BuildersNotices } from './builder-notice-contract.ts';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import { builderNotices } from './tables/index.ts';

/** A builder that has said nothing for so long has ended, or cannot say what still holds. */
const LASTS_MS = 90_000;
/** Of a builder that never came back. */
const FORGOTTEN_MS = 24 * 3_600_000;
const MAX_NOTICES = 20;
const MAX_BUILDERS = 20;
const MAX_CODE = 40;
const MAX_NAME = 100;
const MAX_MESSAGE = 2_000;

const text = (most: number) =>
  v.pipe(
    v.string(),
    v.transform((each) => storableText(each, most)),
  );
const Code = v.pipe(v.string(), v.regex(/^[A-Z][A-Z_]*$/), v.maxLength(MAX_CODE));
const Column = v.pipe(v.array(v.object({ code: Code, message: text(MAX_MESSAGE) })), v.maxLength(MAX_NOTICES));

/** By the clock of the database, which all have in common. */
function fromNow(ms: number): SQL<number> {
  return sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint + ${ms}::bigint`;
}

async function tell(db: Database, repositoryId: string, { owner, name, notices }: BuildersNotices): Promise<void> {
  const told: readonly BuilderNotice[] = notices
    .slice(0, MAX_NOTICES)
    .map(({ code, message }) => ({ code: code.slice(0, MAX_CODE), message: storableText(message, MAX_MESSAGE) }));
  await db.transaction(async (tx) => {
    await tx.delete(builderNotices).where(lt(builderNotices.toldAt, fromNow(-FORGOTTEN_MS)));
    const own = and(eq(builderNotices.repositoryId, repositoryId), eq(builderNotices.owner, owner));
    if (told.length === 0) await tx.delete(builderNotices).where(own);
    else {
      const row = { name: storableText(name, MAX_NAME), notices: told, toldAt: fromNow(0) };
      await tx
        .insert(builderNotices)
        .values({ repositoryId, owner, ...row })
        .onConflictDoUpdate({ target: [builderNotices.repositoryId, builderNotices.owner], set: row });
    }
    await notify(tx, { topic: 'repository', id: repositoryId });
  });
}

export function createBuilderNoticeStore(db: Database): BuilderNoticeStore {
  return {
    tellNotices: async (repositoryId, notices) => await tell(db, repositoryId, notices),
    async noticesOfBuilders(repositoryId) {
      const rows = await db
        .select({ owner: builderNotices.owner, name: builderNotices.name, notices: builderNotices.notices })
        .from(builderNotices)
        // One that was told in the future was planted, or told before the database's clock was set back.
        .where(
          and(
            eq(builderNotices.repositoryId, repositoryId),
            gt(builderNotices.toldAt, fromNow(-LASTS_MS)),
            lt(builderNotices.toldAt, fromNow(LASTS_MS)),
          ),
        )
        .orderBy(asc(builderNotices.owner))
        .limit(MAX_BUILDERS);
      return rows.flatMap(({ owner, name, notices }) => {
        const parsed = v.safeParse(Column, notices);
        return parsed.success ? [{ owner: storableText(owner, MAX_NAME), name: storableText(name, MAX_NAME), notices: parsed.output }] : [];
      });
    },
  };
}
