import { boundedTime, storableText, type HeldCommit } from '@floe/model';
import type { Clock } from '@floe/runtime';
import { and, eq, exists, gt, isNull, lte, or, sql, type SQL } from 'drizzle-orm';
import type { PgColumn, PgUpdateSetSource } from 'drizzle-orm/pg-core';
import * as v from 'valibot';
import { createBuilderNoticeStore } from './builder-notices.ts';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { followBranch, followDefault, moveAddress, nameBranch, type RepositoryRow } from './followed-repository.ts';
import { highestSequence } from './highest-sequence.ts';
import { notify } from './hints.ts';
import { HoldColumn, idOfHold } from './hold-column.ts';
import { refuseNewer } from './migrate.ts';
import type { Lease, Repository } from './records.ts';
import { RowReader } from './row-reader.ts';
import type { RepositoryStore } from './repository-contract.ts';
import { repositories, repositoryLeases, revisions } from './tables/index.ts';
import { isUnfinishedRevision } from './tables/unfinished.ts';
import { readableCounter } from './unreadable.ts';

function toRepository(row: RepositoryRow): Repository {
  const { problemCode, problemMessage, problemSince, heldReason, heldSince } = row;
  const reader = new RowReader();
  const heldCommit = reader.commit('held_commit', row.heldCommit);
  const allowedCommit = reader.commit('allowed_commit', row.allowedCommit);
  const read = {
    id: row.id,
    url: row.url,
    branch: row.branch,
    ref: `refs/heads/${row.branch}`,
    acceptedCommit: reader.commit('accepted_commit', row.acceptedCommit),
    sequence: reader.counter('sequence', row.sequence),
    hintCount: reader.counter('hint_count', row.hintCount),
    lastFetchAt: reader.timeOrNone('last_fetch_at', row.lastFetchAt),
    held:
      heldCommit === undefined
        ? undefined
        : {
            commit: heldCommit,
            reason: storableText(heldReason ?? ''),
            since: reader.timeOrNone('held_since', heldSince) ?? 0,
            ...causeOf(row.heldCause),
          },
    advice: reader.text(row.advice),
    allowed: allowedCommit === undefined ? undefined : { commit: allowedCommit, cause: causeOf(row.allowedCause).cause },
  };
  const since = reader.timeOrNone('problem_since', problemSince) ?? 0;
  if (reader.problem !== undefined) return { ...read, problem: { code: 'ROW_UNREADABLE', message: reader.problem, since } };
  const problem = problemCode === null ? undefined : { code: storableText(problemCode, 64), message: storableText(problemMessage ?? ''), since };
  return { ...read, problem };
}

/** A cause that cannot be read is none: then nothing was accepted, and the commit is held again with one. */
function causeOf(column: unknown): Pick<HeldCommit, 'cause' | 'seen'> {
  const parsed = v.safeParse(HoldColumn, column);
  return parsed.success ? { cause: parsed.output, seen: idOfHold(parsed.output) } : {};
}

/** Asks the repository's worker to look again. A counter, so that a worker that was busy notices it afterwards. */
export async function wakeRepository(db: Database, id: string): Promise<void> {
  await db
    .update(repositories)
    .set({ hintCount: sql`${readableCounter(repositories.hintCount)} + 1` })
    .where(eq(repositories.id, id));
  await notify(db, { topic: 'repository', id });
}

/** Leases take seconds. One that ends later than this was written by hand, or by a database whose clock was ahead. */
const LONGEST_LEASE_MS = 3_600_000;

/**
 * By the clock of the database, which all builders have in common: with clocks of their own that are hours apart, each would find the other one's
 * lease expired, again and again.
 */
function fromNow(ms: number): SQL<number> {
  return sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint + ${ms}::bigint`;
}

/**
 * Takes the lease if it is free, expired or `owner`'s own. Two workers that claim it at the same time both update the same row:
 * the second waits for the first's commit, and Postgres then checks its condition again on the new row, where it fails.
 * The token is raised last, as `fenced` looks at it last.
 */
async function claim(db: Database, id: string, owner: string, leaseMs: number): Promise<number | undefined> {
  const claimed = await db
    .update(repositories)
    .set({ leaseOwner: owner, leaseExpiresAt: fromNow(leaseMs) })
    .where(
      and(
        eq(repositories.id, id),
        or(
          isNull(repositories.leaseOwner),
          eq(repositories.leaseOwner, owner),
          isNull(repositories.leaseExpiresAt),
          lte(repositories.leaseExpiresAt, fromNow(0)),
          gt(repositories.leaseExpiresAt, fromNow(LONGEST_LEASE_MS)),
        ),
      ),
    )
    .returning({ id: repositories.id });
  if (claimed.length === 0) return undefined;
  const token = sql`${readableCounter(repositoryLeases.token)} + 1`;
  const [raised] = await db
    .insert(repositoryLeases)
    .values({ repositoryId: id, token: 1 })
    .onConflictDoUpdate({ target: repositoryLeases.repositoryId, set: { token } })
    .returning({ token: repositoryLeases.token });
  return raised?.token;
}

/** Prolongs the lease of the newest claim, and no other: also one that was over, if nobody has claimed it since. */
async function renew(db: Database, { repositoryId, token }: Lease, owner: string, leaseMs: number): Promise<boolean> {
  const isNewest = db
    .select({ token: repositoryLeases.token })
    .from(repositoryLeases)
    .where(and(eq(repositoryLeases.repositoryId, repositoryId), eq(repositoryLeases.token, token)));
  const renewed = await db
    .update(repositories)
    .set({ leaseExpiresAt: fromNow(leaseMs) })
    .where(and(eq(repositories.id, repositoryId), eq(repositories.leaseOwner, owner), exists(isNewest)))
    .returning({ id: repositories.id });
  return renewed.length > 0;
}

/** Clears the lease only while it is `owner`'s: a worker that was too slow must not end its successor's lease. */
async function unclaim(db: Database, id: string, owner: string): Promise<void> {
  await db
    .update(repositories)
    .set({ leaseOwner: null, leaseExpiresAt: null })
    .where(and(eq(repositories.id, id), eq(repositories.leaseOwner, owner)));
}

type Held = Parameters<RepositoryStore['hold']>[1];

/** Decided by the row as it is now: the evaluation of the commit may hold it while its branch is fetched. */
function onlyHeld(commit: string): PgUpdateSetSource<typeof repositories> {
  const { heldCommit, heldReason, heldSince, heldCause } = repositories;
  const kept = (column: PgColumn): SQL => sql`case when ${heldCommit} = ${commit} then ${column} end`;
  return { heldCommit: kept(heldCommit), heldReason: kept(heldReason), heldSince: kept(heldSince), heldCause: kept(heldCause) };
}

function heldColumns(held: Held, now: number): PgUpdateSetSource<typeof repositories> {
  if (held === undefined) return { heldCommit: null, heldReason: null, heldSince: null, heldCause: null };
  const heldSince = sql`case when ${repositories.heldCommit} = ${held.commit} then ${repositories.heldSince} else ${now} end`;
  return { heldCommit: held.commit, heldReason: storableText(held.reason), heldSince, heldCause: held.cause ?? null };
}

async function hold(db: Database, id: string, held: Held, now: number): Promise<void> {
  const updated = await db.update(repositories).set(heldColumns(held, now)).where(eq(repositories.id, id)).returning({ id: repositories.id });
  if (updated.length === 0) throw missingRow('repository', id);
  await notify(db, { topic: 'repository', id });
}

async function recordFetch(db: Database, id: string, outcome: Parameters<RepositoryStore['recordFetch']>[1]): Promise<void> {
  const { now, problem, held } = outcome;
  const heldNow = held !== undefined && 'stays' in held ? onlyHeld(held.stays) : heldColumns(held, now);
  const updated = await db
    .update(repositories)
    .set({
      ...(problem === undefined ? { lastFetchAt: now } : {}),
      problemCode: problem?.code ?? null,
      problemMessage: problem === undefined ? null : storableText(problem.message),
      problemSince:
        problem === undefined ? null : sql`case when ${repositories.problemCode} = ${problem.code} then ${repositories.problemSince} else ${now} end`,
      ...(problem !== undefined && held === undefined ? {} : heldNow),
    })
    .where(eq(repositories.id, id))
    .returning({ id: repositories.id });
  if (updated.length === 0) throw missingRow('repository', id);
}

export function createRepositoryStore(db: Database, clock: Clock, newestMigration: number): RepositoryStore {
  return {
    ensure: async ({ url, branch, now }) => await db.transaction(async (tx) => await followBranch(tx, url, branch, now, toRepository)),
    ensureDefault: async ({ url, now }) => await db.transaction(async (tx) => await followDefault(tx, url, now, toRepository)),
    moveAddress: async (url) => await db.transaction(async (tx) => await moveAddress(tx, url)),
    nameBranch: async (id, branch) => await db.transaction(async (tx) => await nameBranch(tx, id, branch)),
    async get(id) {
      const [row] = await db.select().from(repositories).where(eq(repositories.id, id));
      if (row === undefined) throw missingRow('repository', id);
      return toRepository(row);
    },
    wake: async (id) => await db.transaction(async (tx) => await wakeRepository(tx, id)),
    claim: async (id, owner, leaseMs) =>
      await db.transaction(async (tx) => {
        await refuseNewer(tx, newestMigration);
        return await claim(tx, id, owner, leaseMs);
      }),
    renew: async (lease, owner, leaseMs) => await renew(db, lease, owner, leaseMs),
    async lease(id) {
      const [row] = await db
        .select({ owner: repositories.leaseOwner, expiresAt: repositories.leaseExpiresAt })
        .from(repositories)
        .where(eq(repositories.id, id));
      return row === undefined || row.owner === null || row.expiresAt === null
        ? undefined
        : { owner: row.owner, expiresAt: boundedTime(row.expiresAt) };
    },
    ...createBuilderNoticeStore(db),
    unclaim: async (id, owner) => await unclaim(db, id, owner),
    recordFetch: async (id, outcome) =>
      await db.transaction(async (tx) => {
        await recordFetch(tx, id, outcome);
        await notify(tx, { topic: 'repository', id });
      }),
    hold: async (id, held, now) => await db.transaction(async (tx) => await hold(tx, id, held, now)),
    noteAdvice: async (id, advice) =>
      await db.transaction(async (tx) => {
        const text = advice === undefined ? null : storableText(advice);
        const isNews = sql`${repositories.advice} is distinct from ${text}`;
        const updated = await tx
          .update(repositories)
          .set({ advice: text })
          .where(and(eq(repositories.id, id), isNews))
          .returning({ id: repositories.id });
        if (updated.length > 0) await notify(tx, { topic: 'repository', id });
      }),
    allow: async (id, commit, seen) =>
      await db.transaction(async (tx) => {
        const at = clock.now();
        // Locked, so that what is copied is what was compared: the pipeline may hold it for another reason at the same time.
        const [row] = await tx.select().from(repositories).where(eq(repositories.id, id)).for('no key update');
        const held = row === undefined ? undefined : toRepository(row).held;
        if (held?.commit !== commit || (seen !== undefined && held.seen?.startsWith(seen) !== true)) return false;
        await tx
          .update(repositories)
          .set({ allowedCommit: commit, allowedCause: held.cause ?? null, allowedAt: at })
          .where(eq(repositories.id, id));
        // It may have been taken in already, and wait during its evaluation.
        await tx
          .update(revisions)
          .set({ allowedAt: at })
          .where(and(eq(revisions.repositoryId, id), eq(revisions.sha, commit), isUnfinishedRevision(revisions.state)));
        await wakeRepository(tx, id);
        return true;
      }),
    async accept(id, commit) {
      await db.update(repositories).set({ acceptedCommit: commit }).where(eq(repositories.id, id));
    },
    async raiseSequence(id, atLeast) {
      await db
        .update(repositories)
        .set({ sequence: sql`greatest(${highestSequence}, ${atLeast}::bigint)` })
        .where(eq(repositories.id, id));
    },
  };
}
