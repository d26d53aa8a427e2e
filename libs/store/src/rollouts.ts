import {
  beginRollout,
  FORGE_LOGIN_FORM,
  MAX_FAILURES,
  MAX_GROUP_NAMES,
  MAX_GROUPS,
  MAX_LOOSENINGS,
  MAX_PROBES,
  PROBE_VERDICTS,
  ROLLOUT_STATES,
  storableText,
  TARGET_NAME_FORM,
  type CommitSha,
  type HostName,
  type Loosening,
  type ProbeAnswer,
  type RevisionState,
  type RolloutCourse,
  type PausedFailures,
  type RolloutPause,
} from '@floe/model';
import { and, desc, eq, getTableColumns, inArray, isNull, lt, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import { advanceStable } from './advance-stable.ts';
import { authorsOf, MAX_AUTHORS, SignersColumn, UnapprovedColumn } from './authors.ts';
import { LAST_HASH, writeLogged } from './audit.ts';
import { completeBefore } from './complete-before.ts';
import type { Database } from './database.ts';
import { isFollowed } from './followed.ts';
import { notifying, type HintOrigin } from './hints.ts';
import type { CurrentRollout, Rollout, RolloutAuthors, RolloutDecided, RolloutEntry } from './records.ts';
import { readPolicy } from './policy-column.ts';
import { lockedHosts } from './host-rows.ts';
import { leaveHosts } from './known-hosts.ts';
import { createProbeAnswers } from './probe-answers.ts';
import { createRolloutOrders } from './rollout-orders.ts';
import { RowReader } from './row-reader.ts';
import { hasSteppingStones, noteSteppingStones } from './stepping-stones.ts';
import { HostNameText, storedText, StorePathText } from './rows.ts';
import type { RolloutStore } from './store.ts';
import { hosts, revisions, rollouts } from './tables/index.ts';
import { isHandingOut, isUnfinishedRollout } from './tables/unfinished.ts';
import { isReadableCounter } from './unreadable.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000_000));
const Failure = v.object({ host: HostNameText, toplevel: StorePathText, reason: storedText(2_000) });
const UntriedGroupColumn = v.object({ hosts: v.pipe(v.array(HostNameText), v.maxLength(MAX_GROUP_NAMES)), count: Count });
const Bound = v.optional(v.pipe(v.number(), v.finite()));
const ProbeAnswerColumn = v.pipe(
  v.object({
    name: v.pipe(v.string(), v.regex(TARGET_NAME_FORM)),
    number: v.pipe(v.number(), v.integer(), v.minValue(0)),
    verdict: v.picklist(PROBE_VERDICTS),
    value: v.optional(storedText(64)),
    max: Bound,
    min: Bound,
    detail: storedText(1_000),
  }),
  // JSON leaves out what is undefined.
  v.transform((answer): ProbeAnswer => ({ ...answer, value: answer.value, max: answer.max, min: answer.min })),
);
const FAILED = { failures: v.pipe(v.array(Failure), v.maxLength(MAX_FAILURES)), count: Count };
const PauseColumn = v.variant('cause', [
  v.object({ cause: v.literal('failures'), ...FAILED }),
  v.object({
    cause: v.literal('deadline'),
    missing: Count,
    present: Count,
    eligible: Count,
    untried: v.optional(v.pipe(v.array(UntriedGroupColumn), v.maxLength(MAX_GROUPS)), []),
    failed: v.optional(v.object(FAILED)),
  }),
  v.object({ cause: v.literal('probe'), answers: v.pipe(v.array(ProbeAnswerColumn), v.maxLength(2 * MAX_PROBES)) }),
  v.object({ cause: v.literal('after-ring') }),
  v.object({ cause: v.literal('freeze'), by: storedText(200), reason: storedText(2_000) }),
]) satisfies v.GenericSchema<unknown, RolloutPause>;
const MAX_RING = 1_000;
/** Of thousands of hosts, at each look: one check, and not a schema for each value. */
const RingsColumn = v.pipe(
  v.custom<readonly (readonly [HostName, number])[]>((rings) => Array.isArray(rings) && rings.every(isRingOfHost)),
  v.transform((rings): ReadonlyMap<HostName, number> => new Map(rings)),
);

function isRingOfHost(entry: unknown): boolean {
  if (!Array.isArray(entry)) return false;
  const [host, ring]: readonly unknown[] = entry;
  return typeof host === 'string' && typeof ring === 'number' && Number.isInteger(ring) && ring >= 0 && ring <= MAX_RING;
}

const WeakerColumn = v.pipe(
  v.array(
    v.union([
      v.object({ text: storedText(2_000), id: storedText(2_000) }),
      // From before there was anything that stands for it.
      v.pipe(
        storedText(2_000),
        v.transform((text): Loosening => ({ text, id: text })),
      ),
    ]),
  ),
  v.maxLength(MAX_LOOSENINGS),
);

/** Null stands for pushes that were not told of. */
const PushersColumn = v.pipe(v.array(v.nullable(v.pipe(v.string(), v.regex(FORGE_LOGIN_FORM)))), v.maxLength(MAX_AUTHORS + 1));

type Row = typeof rollouts.$inferSelect;
/** {@link Row} without what may be large: lists do not read it. */
const { rings: _rings, weaker: _weaker, pushers: _pushers, signers: _signers, ...listed } = getTableColumns(rollouts);
export const LISTED_ROLLOUT = listed;
export type ListedRolloutRow = Omit<Row, 'rings' | 'weaker' | 'pushers' | 'signers'>;

/** A rollout with the policy and the sequence of its revision. */
export type RolloutOfRevision = Omit<CurrentRollout, 'orders' | 'people' | 'probes' | 'coming' | 'evaluating'> & {
  readonly sequence: number;
  readonly revisionState: RevisionState;
};

/** The revision that supersedes those before it. */
export interface Successor {
  readonly repositoryId: string;
  readonly sequence: number;
  readonly sha: (typeof revisions.$inferSelect)['sha'];
}

/** The rollout of the newest matching revision that hosts follow. */
export async function newestRollout(db: Database, where: SQL | undefined): Promise<RolloutOfRevision | undefined> {
  return (await newestOf(db, and(where, isFollowed()), {}))?.rollout;
}

/** The same with columns of its own, as the statement yields them. */
export async function newestRolloutWith<Columns extends Record<string, SQL>>(db: Database, where: SQL | undefined, columns: Columns) {
  return await newestOf(db, and(where, isFollowed()), columns);
}

async function newestOf<Columns extends Record<string, SQL>>(
  db: Database,
  where: SQL | undefined,
  columns: Columns,
): Promise<{ readonly rollout: RolloutOfRevision; readonly row: Readonly<Record<keyof Columns, unknown>> } | undefined> {
  const beside: Record<string, SQL> = columns;
  const [row] = await db
    .select({
      beside,
      rollout: rollouts,
      sequence: revisions.sequence,
      policy: revisions.policy,
      revisionState: revisions.state,
    })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(and(where, isReadableCounter(revisions.sequence)))
    .orderBy(desc(revisions.sequence))
    .limit(1);
  if (row === undefined) return undefined;
  const reader = new RowReader();
  const policy = readPolicy(row.policy, reader);
  const sequence = reader.counter('sequence', row.sequence);
  const rings = reader.json('rings', row.rollout.rings, RingsColumn);
  const weaker = reader.json('weaker', row.rollout.weaker, WeakerColumn);
  const authors = readAuthors(row.rollout, reader);
  const rollout = { ...readRollout(row.rollout, reader), policy, sequence, rings, weaker, authors, revisionState: row.revisionState };
  // Drizzle's type loses their names.
  return { rollout, row: row.beside as Readonly<Record<keyof Columns, unknown>> };
}

function readAuthors(row: Row, reader: RowReader): RolloutAuthors | undefined {
  const pushers = reader.json('pushers', row.pushers, PushersColumn);
  const signers = reader.json('signers', row.signers, SignersColumn);
  const since = reader.counterOrNone('authors_since', row.authorsSince);
  const ring = reader.counterOrNone('authors_ring', row.authorsRing);
  // From before their ring was recorded: it is asked again.
  if (pushers === undefined || signers === undefined || since === undefined || ring === undefined) return undefined;
  return { ring, since, pushers: pushers.filter((login) => login !== null), isUntold: pushers.includes(null), signers };
}

function columnsOfAuthors(authors: RolloutAuthors | 'unknown') {
  if (authors === 'unknown') return { pushers: null, signers: null, authorsSince: null, authorsRing: null };
  const { pushers, isUntold, signers, since, ring } = authors;
  return { pushers: [...pushers, ...(isUntold ? [null] : [])], signers: [...signers], authorsSince: since, authorsRing: ring };
}

/** A rollout whose row cannot be read is left alone: it is PAUSED, and nobody is told to run it. */
export function readRollout(row: ListedRolloutRow, reader = new RowReader()): Rollout {
  const startedAt = reader.time('started_at', row.startedAt);
  const course: RolloutCourse = {
    state: reader.one('state', row.state, ROLLOUT_STATES, 'PAUSED'),
    ring: reader.counter('ring', row.ring),
    // A row of a time before this was recorded has 0.
    since: reader.time('since', row.since) || startedAt,
    ringSince: reader.time('ring_since', row.ringSince) || startedAt,
    pause: reader.json('pause', row.pause, PauseColumn),
    provedRing: reader.counterOrNone('proved_ring', row.provedRing),
    unapproved: reader.json('unapproved', row.unapproved, UnapprovedColumn),
    isReopened: row.isReopened ? true : undefined,
  };
  const version = reader.counter('version', row.version);
  const completedAt = reader.timeOrNone('completed_at', row.completedAt);
  const state = reader.problem === undefined ? course.state : 'PAUSED';
  return {
    id: row.id,
    revisionId: row.revisionId,
    startedAt,
    completedAt,
    state,
    course: { ...course, state },
    waitingSince: reader.timeOrNone('waiting_since', row.waitingSince),
    version,
    unreadable: reader.problem,
  };
}

/** The columns of a course. */
function columnsOf({ state, ring, since, ringSince, pause, provedRing, unapproved = [], isReopened = false }: RolloutCourse) {
  return {
    state,
    ring,
    since,
    ringSince,
    pause: pause === undefined ? null : cleanPause(pause),
    provedRing: provedRing ?? null,
    unapproved: unapproved.length === 0 ? null : [...unapproved],
    isReopened,
  };
}

function cleanPause(pause: RolloutPause): RolloutPause {
  if (pause.cause === 'failures') return { ...pause, ...cleanFailures(pause) };
  return pause.cause === 'deadline' && pause.failed !== undefined ? { ...pause, failed: cleanFailures(pause.failed) } : pause;
}

function cleanFailures({ failures, count }: PausedFailures): PausedFailures {
  return { count, failures: failures.map((failure) => ({ ...failure, reason: storableText(failure.reason, 2_000) })) };
}

/**
 * Begins the rollout of a revision, in the transaction that publishes it, or has it wait. One that it has goes on, but nothing that was
 * decided from before is stored any more: it has other releases now.
 */
export async function insertRollout(tx: Database, revisionId: string, at: number, waitingSince: number | undefined): Promise<void> {
  const course = beginRollout(at);
  await tx
    .insert(rollouts)
    .values({
      revisionId,
      startedAt: at,
      ...columnsOf(waitingSince === undefined ? course : { ...course, state: 'NEXT' }),
      waitingSince: waitingSince ?? null,
    })
    .onConflictDoUpdate({ target: rollouts.revisionId, set: { version: sql`${rollouts.version} + 1` } });
}

/**
 * Locks the older rollouts that have not ended, the newest first, before anything of them is written: whoever publishes a commit, and whoever
 * begins the one that waited, end several of them, and in another order each could wait for the other's lock.
 */
export async function lockOlder(tx: Database, { repositoryId, sequence }: Successor): Promise<void> {
  await tx
    .select({ id: rollouts.id })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(and(isUnfinishedRollout(rollouts.state), eq(revisions.repositoryId, repositoryId), lt(revisions.sequence, sequence)))
    .orderBy(desc(revisions.sequence))
    .for('update', { of: rollouts });
}

/** Ends the older rollouts, in the transaction that begins a newer one. Returns the ids of their revisions. */
export async function supersedeRollouts(
  tx: Database,
  { repositoryId, sequence, sha }: Successor,
  at: number,
  which?: SQL,
): Promise<readonly string[]> {
  const superseded = await tx
    .update(rollouts)
    .set({ state: 'SUPERSEDED', since: at, version: sql`${rollouts.version} + 1` })
    .from(revisions)
    .where(
      and(
        isUnfinishedRollout(rollouts.state),
        eq(revisions.id, rollouts.revisionId),
        eq(revisions.repositoryId, repositoryId),
        lt(revisions.sequence, sequence),
        which,
      ),
    )
    .returning({ id: rollouts.revisionId });
  const ids = superseded.map(({ id }) => id);
  // One that waited never began, and has no story.
  if (ids.length > 0)
    await tx
      .update(revisions)
      .set({ supersededBy: sha, supersededAt: at })
      .where(and(inArray(revisions.id, ids), isNull(revisions.supersededBy)));
  return ids;
}

/** Stores a decision about a rollout that nobody wrote to since: of two servers one succeeds, and the other gets `false`. */
async function save(db: Database, origin: HintOrigin, decided: RolloutDecided, at: number, entries: readonly RolloutEntry[]): Promise<boolean> {
  // Most steps are in the log of nobody, and wait for nobody who writes there.
  if (entries.length === 0) return (await db.transaction(async (tx) => await saveCourse(tx, origin, decided, at))) !== undefined;
  return await writeLogged(db, async (tx, log) => {
    const saved = await saveCourse(tx, origin, decided, at);
    // Under the commit, as what people decide about it.
    if (saved !== undefined)
      await log(
        entries.map((entry) => ({ ...entry, subject: saved.sha })),
        saved.lastHash,
      );
    return saved !== undefined;
  });
}

/** Undefined: it was not stored. */
async function saveCourse(
  tx: Database,
  origin: HintOrigin,
  { id, version, course, rings, weaker, authors, unasked, left }: RolloutDecided,
  at: number,
): Promise<{ readonly sha: CommitSha; readonly lastHash: string | null } | undefined> {
  // Of a commit that is evaluated again nothing is decided: it has no hosts for now.
  const hasHosts = sql`exists (select from ${revisions} where ${revisions.id} = ${rollouts.revisionId} and ${isHandingOut(revisions.state)})`;
  const moved = tx.$with('moved').as(
    tx
      .update(rollouts)
      .set({
        ...columnsOf(course),
        completedAt: course.state === 'COMPLETE' ? at : null,
        version: version + 1,
        ...(rings === undefined ? {} : { rings: [...rings] }),
        ...(authors === undefined ? {} : columnsOfAuthors(authors)),
        ...(weaker === undefined ? {} : { weaker: weaker.map((each) => ({ ...each, text: storableText(each.text, 2_000) })) }),
      })
      .where(and(eq(rollouts.id, id), eq(rollouts.version, version), hasHosts))
      .returning({ revisionId: rollouts.revisionId }),
  );
  const hints = sql`json_build_array(
    json_build_object('topic', 'revision', 'id', ${moved.revisionId}, 'origin', ${origin}::text), json_build_object('topic', 'host', 'host', '*', 'origin', ${origin}::text))`;
  const [saved] = await tx
    .with(moved)
    .select({
      revisionId: revisions.id,
      sha: revisions.sha,
      lastHash: LAST_HASH,
      hasStones: sql<boolean>`${hasSteppingStones(revisions.policy)}`,
      told: sql`${notifying(hints)}`,
      // After the rollout's row, as everywhere. What follows reads the hosts as they are once they are locked.
      locked:
        course.state === 'COMPLETE' ? sql`(select count(*) from (${lockedHosts(eq(hosts.repositoryId, revisions.repositoryId))}) as locked)` : sql`0`,
    })
    .from(moved)
    .innerJoin(revisions, eq(revisions.id, moved.revisionId));
  if (saved === undefined) return undefined;
  if (course.state === 'COMPLETE') {
    await advanceStable(tx, saved.revisionId, unasked);
    if (saved.hasStones) await noteSteppingStones(tx, saved.revisionId);
    if (left !== undefined) await leaveHosts(tx, saved.revisionId, left);
  }
  return saved;
}

export function createRolloutStore(db: Database, origin: HintOrigin): Omit<RolloutStore, 'stories' | 'begin' | 'supersededInARow'> {
  return {
    save: async (decided, at, entries) => await save(db, origin, decided, at, entries),
    ofRevision: async (revisionId) => (await newestOf(db, eq(revisions.id, revisionId), {}))?.rollout,
    completeBefore: async (revisionId) => await completeBefore(db, revisionId),
    authorsOf: async (revisionId, forge, ring) => await authorsOf(db, revisionId, forge, ring),
    ...createRolloutOrders(db),
    ...createProbeAnswers(db),
  };
}
