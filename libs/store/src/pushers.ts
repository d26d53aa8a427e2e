import { FORGE_LOGIN_FORM } from '@floe/model';
import { and, eq, gt, inArray, isNull, ne, or, sql } from 'drizzle-orm';
import * as v from 'valibot';
import { personOf } from './api-tokens.ts';
import type { Database } from './database.ts';
import type { RolloutPeople } from './records.ts';
import { readRows } from './rows.ts';
import { apiTokens, revisions, rollouts, webhookDeliveries } from './tables/index.ts';

/** Pushes that are followed from one complete rollout to the next. With more, who pushed is not known. */
const MAX_PUSHES = 1_000;
const Push = v.object({ pusher: v.nullable(v.string()) });

/**
 * Follows the pushes to the tracked branch back, from the revision's commit to that of the last complete rollout: each moved the branch
 * from one commit to the next. Whatever commit the revision has and the complete one has not was brought by one of them, also when the
 * branch was rewritten on the way. Only this forge is believed: a login of another one is somebody else's. So nothing is asked of git, nor of the author lines that anybody can write.
 */
export async function pushersOf(db: Database, revisionId: string, forge: string): Promise<readonly string[] | undefined> {
  const [revision] = await db
    .select({ repositoryId: revisions.repositoryId, sha: revisions.sha })
    .from(revisions)
    .where(eq(revisions.id, revisionId));
  if (revision === undefined) return undefined;
  const { repositoryId, sha } = revision;
  const [complete] = await db
    .select({ sha: revisions.sha })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(and(eq(revisions.repositoryId, repositoryId), eq(rollouts.state, 'COMPLETE'), ne(revisions.id, revisionId)))
    .orderBy(sql`${revisions.sequence} desc`)
    .limit(1);
  if (complete === undefined) return undefined;
  const d = webhookDeliveries;
  const isPush = sql`d.repository_id = ${repositoryId} and d.forge = ${forge} and d.outcome = 'accepted' and d.after = back.commit`;
  const pushes = readRows(
    Push,
    await db.execute(sql`
    with recursive back(commit) as (
      select ${sha}::text
      union
      select coalesce(d.before, '') from back join ${d} d on ${isPush} where back.commit <> ${complete.sha}
    )
    select d.pusher as pusher from (select commit from back limit ${MAX_PUSHES + 1}) back left join ${d} d on ${isPush}
    where back.commit <> ${complete.sha} limit ${MAX_PUSHES + 1}`),
  );
  const logins = pushes.map(({ pusher }) => pusher);
  // A commit that no push explains has null as well.
  if (logins.length > MAX_PUSHES || !logins.every((login) => login !== null && FORGE_LOGIN_FORM.test(login))) return undefined;
  return [...new Set(logins.filter((login) => login !== null))].toSorted();
}

/** The people with these logins, by the tokens that name them, those included that have ended. */
export async function readPeople(db: Database, logins: readonly string[], now: number): Promise<RolloutPeople> {
  const { name, person, forgeLogin, role, expiresAt } = apiTokens;
  const isOfAuthor = logins.length === 0 ? sql`false` : inArray(forgeLogin, [...logins]);
  const isOfAdministrator = and(eq(role, 'administrator'), or(isNull(expiresAt), gt(expiresAt, now)));
  const rows = await db.select({ name, person, login: forgeLogin, role, expiresAt }).from(apiTokens).where(or(isOfAuthor, isOfAdministrator));
  const known = rows.filter(({ login }) => login !== null && logins.includes(login));
  const authors = [...new Set(known.map(personOf))].toSorted();
  const isInForce = (end: number | null): boolean => end === null || end > now;
  return {
    authors,
    unmapped: logins.filter((login) => !known.some((row) => row.login === login)),
    hasOtherAdministrator: rows.some((row) => row.role === 'administrator' && isInForce(row.expiresAt) && !authors.includes(personOf(row))),
  };
}
