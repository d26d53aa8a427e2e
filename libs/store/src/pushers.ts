import { FORGE_LOGIN_FORM } from '@floe/model';
import { and, eq, gt, inArray, isNotNull, isNull, lte, ne, or, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import { personOf } from './api-tokens.ts';
import type { Database } from './database.ts';
import type { RolloutPeople } from './records.ts';
import { readRows } from './rows.ts';
import { apiTokens, handovers, revisions, rollouts, webhookDeliveries } from './tables/index.ts';

/** Pushes that are followed from one complete rollout to the next. With more, who pushed is not known. */
const MAX_PUSHES = 1_000;
const Push = v.object({ pusher: v.nullable(v.string()), isReached: v.boolean() });

/**
 * Follows the pushes to the tracked branch back, from the revision's commit to that of the last complete rollout: each moved the branch
 * from one commit to the next. Whatever commit the revision has and the complete one has not was brought by one of them, also when the
 * branch was rewritten on the way. Only this forge is believed: a login of another one is somebody else's. So nothing is asked of git, nor of the author lines that anybody can write.
 */
export async function pushersOf(db: Database, revisionId: string, forge: string): Promise<readonly string[] | undefined> {
  const [revision] = await db
    .select({ repositoryId: revisions.repositoryId, sequence: revisions.sequence })
    .from(revisions)
    .where(eq(revisions.id, revisionId));
  if (revision === undefined) return undefined;
  const { repositoryId } = revision;
  const last = await lastComplete(db, repositoryId, revisionId);
  if (last === undefined) return undefined;
  const head = await commitAt(db, repositoryId, revision.sequence);
  const base = await publishedAt(db, repositoryId, last.sequence);
  if (head === undefined || base === undefined) return undefined;
  const d = webhookDeliveries;
  const isPush = sql`d.repository_id = ${repositoryId} and d.forge = ${forge} and d.outcome = 'accepted' and d.after = back.commit`;
  const pushes = readRows(
    Push,
    await db.execute(sql`
    with recursive back(commit) as (
      select ${head}::text
      union
      select coalesce(d.before, '') from back join ${d} d on ${isPush} where back.commit <> ${base}
    )
    select d.pusher as pusher, exists (select from back where back.commit = ${base}) as "isReached"
    from (select commit from back limit ${MAX_PUSHES + 1}) back left join ${d} d on ${isPush}
    where back.commit <> ${base} limit ${MAX_PUSHES + 1}`),
  );
  // Pushes that move the branch forth and back explain each other, and hide one that was not told: some way has to lead to the complete one.
  if (pushes.some(({ isReached }) => !isReached)) return undefined;
  const logins = pushes.map(({ pusher }) => pusher);
  // A commit that no push explains has null as well.
  if (logins.length > MAX_PUSHES || !logins.every((login) => login !== null && FORGE_LOGIN_FORM.test(login))) return undefined;
  return [...new Set(logins.filter((login) => login !== null))].toSorted();
}

async function lastComplete(db: Database, repositoryId: string, otherThan: string): Promise<{ readonly sequence: number } | undefined> {
  const [complete] = await db
    .select({ sequence: revisions.sequence })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(and(eq(revisions.repositoryId, repositoryId), eq(rollouts.state, 'COMPLETE'), ne(revisions.id, otherThan)))
    .orderBy(sql`${revisions.sequence} desc`)
    .limit(1);
  return complete;
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

/** The people who submitted what a revision has, and the last complete rollout before it has not. */
export async function submittersOf(db: Database, repositoryId: string, revisionId: string, sequence: number): Promise<readonly string[]> {
  const last = await lastComplete(db, repositoryId, revisionId);
  const rows = await db
    .selectDistinct({ person: handovers.person })
    .from(revisions)
    .innerJoin(handovers, eq(handovers.id, revisions.handoverId))
    .where(and(eq(revisions.repositoryId, repositoryId), gt(revisions.sequence, last?.sequence ?? -1), lte(revisions.sequence, sequence)));
  return rows.map(({ person }) => person);
}

/** The people with these logins, by the tokens that name them, those included that have ended; and those who submitted. */
export async function readPeople(db: Database, logins: readonly string[], submitters: readonly string[], now: number): Promise<RolloutPeople> {
  const { name, person, forgeLogin, role, expiresAt } = apiTokens;
  const isOfAuthor = logins.length === 0 ? sql`false` : inArray(forgeLogin, [...logins]);
  const isOfAdministrator = and(eq(role, 'administrator'), or(isNull(expiresAt), gt(expiresAt, now)));
  const rows = await db.select({ name, person, login: forgeLogin, role, expiresAt }).from(apiTokens).where(or(isOfAuthor, isOfAdministrator));
  const known = rows.filter(({ login }) => login !== null && logins.includes(login));
  const authors = [...new Set([...known.map(personOf), ...submitters])].toSorted();
  const isInForce = (end: number | null): boolean => end === null || end > now;
  return {
    authors,
    unmapped: logins.filter((login) => !known.some((row) => row.login === login)),
    hasOtherAdministrator: rows.some((row) => row.role === 'administrator' && isInForce(row.expiresAt) && !authors.includes(personOf(row))),
  };
}
