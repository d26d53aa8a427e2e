import { isDeepStrictEqual } from 'node:util';
import { DEFAULT_POLICY, MAX_COUNTER } from '@floe/model';
import { and, desc, eq, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { PolicyColumn } from './policy-column.ts';
import { RowReader } from './row-reader.ts';
import type { LoggedPolicy, LostRollout } from './stable-contract.ts';
import { hosts, releases, repositories, revisions, rollouts } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

// A database that was rebuilt from the statement log, or restored from a backup and completed from it, lacks the rollout that was complete
// last, and so its policy. What is stable for some host by the log alone, and newer than what was complete here, tells so.

/** `below`: releases from this sequence on are of a rollout that may be known. */
function isLost(repositoryId: SQL, { but, below }: { readonly but?: string; readonly below?: SQL } = {}): SQL {
  const known = sql`select max(kr.sequence) from ${rollouts} k join ${revisions} kr on kr.id = k.revision_id
    where kr.repository_id = ${repositoryId} and k.state = 'COMPLETE' and kr.sequence between 0 and ${MAX_COUNTER}::bigint
      ${but === undefined ? sql`` : sql`and kr.id <> ${but}`}`;
  return sql`exists (
    select from ${hosts} h join ${releases} s on s.id = h.stable_release_id
    where h.repository_id = ${repositoryId} and h.stable_by is null and s.sequence between 0 and ${MAX_COUNTER}::bigint
      and s.sequence > coalesce((${known}), -1) ${below === undefined ? sql`` : sql`and s.sequence < ${below}`})`;
}

/** What was complete before the revision and is lost, as a column of another statement. */
export function lostColumn(revisionId: string): SQL {
  return sql`(
    select json_build_object('isLost', ${isLost(sql`lv.repository_id`, { but: revisionId, below: sql`lv.sequence` })}, 'policy', lr.logged_policy)
    from revisions lv join repositories lr on lr.id = lv.repository_id where lv.id = ${revisionId})`;
}

const Lost = v.nullable(v.object({ isLost: v.boolean(), policy: v.nullable(v.string()) }));

export function toLost(column: unknown): LostRollout | undefined {
  const found = v.parse(Lost, column);
  return found?.isLost === true ? { isDefault: found.policy === 'default' } : undefined;
}

/** What the statement log is to tell of the last complete policy; undefined: it tells that already, or it is not known here. */
export async function policyToLog(db: Database, repositoryId: string): Promise<LoggedPolicy | undefined> {
  const [row] = await db
    .select({ policy: revisions.policy, logged: repositories.loggedPolicy, isLost: isLost(sql`${repositories.id}`) })
    .from(revisions)
    .innerJoin(rollouts, eq(rollouts.revisionId, revisions.id))
    .innerJoin(repositories, eq(repositories.id, revisions.repositoryId))
    .where(and(eq(revisions.repositoryId, repositoryId), eq(rollouts.state, 'COMPLETE'), isReadableCounter(revisions.sequence)))
    .orderBy(desc(revisions.sequence))
    .limit(1);
  if (row === undefined || row.isLost === true) return undefined;
  const policy = row.policy === null ? DEFAULT_POLICY : new RowReader().json('policy', row.policy, PolicyColumn);
  const now: LoggedPolicy = isDeepStrictEqual(policy, DEFAULT_POLICY) ? 'default' : 'other';
  return now === row.logged ? undefined : now;
}
