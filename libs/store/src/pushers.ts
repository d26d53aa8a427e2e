import { FORGE_LOGIN_FORM } from '@floe/model';
import { and, eq, gt, isNotNull, isNull, lte, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { readRows } from './rows.ts';
import { handovers, revisions, webhookDeliveries } from './tables/index.ts';

/** Pushes that are followed from one complete rollout to the next. With more, who pushed is not known. */
const MAX_PUSHES = 1_000;
/** What a revision has, and the one with the sequence `since` had not. */
export interface CommitsOf {
  readonly repositoryId: string;
  readonly since: number;
  /** Of the revision. */
  readonly sequence: number;
}
/** `isUntold`: of some push it was not told, or not by whom. */
export interface Pushers {
  readonly logins: readonly string[];
  readonly isUntold: boolean;
}

const Push = v.object({ pusher: v.nullable(v.string()), isReached: v.boolean() });

/**
 * Follows the pushes to the tracked branch back, from the revision's commit to that of a complete rollout: each moved the branch
 * from one commit to the next. Whatever commit the revision has and the complete one has not was brought by one of them, also when the
 * branch was rewritten on the way. Only this forge is believed: a login of another one is somebody else's. So nothing is asked of git, nor of the author lines that anybody can write.
 */
export async function pushersOf(db: Database, { repositoryId, since, sequence }: CommitsOf, forge: string): Promise<Pushers | undefined> {
  const head = await commitAt(db, repositoryId, sequence);
  const base = await publishedAt(db, repositoryId, since);
  if (head === undefined || base === undefined) return undefined;
  const heads = [head, ...(await namedCommits(db, { repositoryId, since, sequence }))];
  const d = webhookDeliveries;
  const isPush = sql`d.repository_id = ${repositoryId} and d.forge = ${forge} and d.outcome = 'accepted' and d.after = back.commit`;
  const pushes = readRows(
    Push,
    await db.execute(sql`
    with recursive back(commit) as (
      select jsonb_array_elements_text(${JSON.stringify(heads)}::text::jsonb)
      union
      select coalesce(d.before, '') from back join ${d} d on ${isPush} where back.commit <> ${base}
    )
    select d.pusher as pusher, exists (select from back where back.commit = ${base}) as "isReached"
    from (select commit from back limit ${MAX_PUSHES + 1}) back left join ${d} d on ${isPush}
    where back.commit <> ${base} limit ${MAX_PUSHES + 1}`),
  );
  const told = pushes.flatMap(({ pusher }) => (pusher !== null && FORGE_LOGIN_FORM.test(pusher) ? [pusher] : []));
  // A commit that no push explains has no pusher. Pushes that move the branch forth and back explain each other, and hide one that was not told:
  // some way has to lead to the complete one.
  const isUntold = told.length < pushes.length || pushes.length > MAX_PUSHES || pushes.some(({ isReached }) => !isReached);
  return { logins: [...new Set(told)].toSorted(), isUntold };
}

/** The commits of the branch that what was submitted names: a CI may be faster than the fetch. */
async function namedCommits(db: Database, { repositoryId, since, sequence }: CommitsOf): Promise<readonly string[]> {
  const isNamed = and(isNotNull(revisions.handoverId), gt(revisions.sequence, since), lte(revisions.sequence, sequence), isNotNull(handovers.commit));
  const rows = await db
    .selectDistinct({ sha: revisions.sha })
    .from(revisions)
    .innerJoin(handovers, eq(handovers.id, revisions.handoverId))
    .where(and(eq(revisions.repositoryId, repositoryId), isNamed))
    .limit(MAX_PUSHES + 1);
  return rows.map(({ sha }) => sha);
}

/** The newest commit up to the revision with this sequence, whatever became of it: a submitted one may be based on it. */
async function commitAt(db: Database, repositoryId: string, sequence: number): Promise<string | undefined> {
  return await newestCommit(db, repositoryId, lte(revisions.sequence, sequence));
}

/**
 * What the revision with this sequence surely has of the branch: a submitted one has what the newest commit that was published before it had,
 * besides its own systems, and nothing of one that was held, refused or did not build.
 */
async function publishedAt(db: Database, repositoryId: string, sequence: number): Promise<string | undefined> {
  return await newestCommit(db, repositoryId, and(lte(revisions.sequence, sequence), isNotNull(revisions.publishedAt)));
}

async function newestCommit(db: Database, repositoryId: string, which: SQL | undefined): Promise<string | undefined> {
  const [row] = await db
    .select({ sha: revisions.sha })
    .from(revisions)
    .where(and(eq(revisions.repositoryId, repositoryId), isNull(revisions.handoverId), which))
    .orderBy(sql`${revisions.sequence} desc`)
    .limit(1);
  return row?.sha;
}
