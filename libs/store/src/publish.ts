import { isHandingOut, nextRevisionState, type HostName, type RevisionState } from '@floe/model';
import { and, desc, eq, inArray, isNotNull, isNull, or, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/pg-core';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify, notifyHosts } from './hints.ts';
import type { NewRelease } from './records.ts';
import { isOneOf } from './rows.ts';
import { moveRevision } from './revision-moves.ts';
import { freezeRollout } from './rollout-stories.ts';
import { waitsSince } from './next-rollouts.ts';
import { isWaiting } from './followed.ts';
import { insertRollout, lockOlder, supersedeRollouts } from './rollouts.ts';
import type { HandedOut, Published } from './release-contract.ts';
import type { Advanced } from './store.ts';
import { evaluations, releases, revisions, rollouts } from './tables/index.ts';
import { isToBeBuilt } from './to-be-built.ts';

/** Rows per insert: Postgres takes 65,535 parameters in one statement, and a row has 8. */
const ROWS_PER_INSERT = 5_000;

export async function hostsWithRelease(db: Database, revisionId: string): Promise<ReadonlySet<HostName>> {
  const rows = await db.select({ host: releases.host }).from(releases).where(eq(releases.revisionId, revisionId));
  return new Set(rows.map(({ host }) => host));
}

/** Stores a revision's releases. One that came back from the statement log before becomes the revision's. */
async function insertReleases(db: Database, repositoryId: string, revisionId: string, rows: readonly NewRelease[]): Promise<void> {
  for (let start = 0; start < rows.length; start += ROWS_PER_INSERT) {
    const values = rows.slice(start, start + ROWS_PER_INSERT).map(({ host, sequence, toplevel, commit, issuedAt, envelope }) => ({
      repositoryId,
      revisionId,
      host,
      sequence,
      toplevel,
      commit,
      issuedAt,
      envelope,
    }));
    await db
      .insert(releases)
      .values(values)
      .onConflictDoUpdate({
        target: [releases.host, releases.sequence],
        set: {
          revisionId,
          toplevel: sql`excluded.toplevel`,
          commit: sql`excluded.commit`,
          issuedAt: sql`excluded.issued_at`,
          envelope: sql`excluded.envelope`,
        },
        setWhere: isNull(releases.revisionId),
      });
  }
}

/** Whoever has a release was built after all. In the same transaction, so that a crash loses no retry. */
async function endErrors(tx: Database, revisionId: string, hosts: readonly HostName[]): Promise<void> {
  if (hosts.length === 0) return;
  const outcome = sql`case when ${evaluations.outcome} = 'BUILD_ERROR' then 'CHANGED' else ${evaluations.outcome} end`;
  const isInTrouble = or(eq(evaluations.outcome, 'BUILD_ERROR'), isNotNull(evaluations.retryAt));
  await tx
    .update(evaluations)
    .set({ outcome, error: null, retryAt: null })
    .where(and(eq(evaluations.revisionId, revisionId), isOneOf(evaluations.host, hosts), isInTrouble));
}

interface Locked {
  readonly state: RevisionState;
  readonly repositoryId: string;
  readonly sequence: number;
  readonly sha: (typeof revisions.$inferSelect)['sha'];
}

/**
 * The lock on the revision's row prevents two races: with another worker that publishes the same revision after a lost
 * lease (it waits, and finds the releases), and with a newer commit that supersedes this one (the second one finds the state of
 * the first). `receive` locks the repository's row in a mode that lets the releases refer to it: otherwise each could wait for
 * the other's lock.
 */
async function lockRevision(tx: Database, revisionId: string): Promise<Locked> {
  const [revision] = await tx
    .select({ state: revisions.state, repositoryId: revisions.repositoryId, sequence: revisions.sequence, sha: revisions.sha })
    .from(revisions)
    .where(eq(revisions.id, revisionId))
    .for('update');
  if (revision === undefined) throw missingRow('revision', revisionId);
  return revision;
}

/** Stores these releases and begins the rollout, if it has not begun; those who follow it are told. `isFirst`: none was there before. */
async function handOut(tx: Database, revisionId: string, revision: Locked, news: readonly NewRelease[], isFirst: boolean, at: number): Promise<void> {
  await lockOlder(tx, revision);
  const [own] = await tx.select({ waitingSince: rollouts.waitingSince }).from(rollouts).where(eq(rollouts.revisionId, revisionId));
  const hasReleases = !isFirst || news.length > 0;
  const waiting = own === undefined ? await waitsSince(tx, { ...revision, hasReleases }, at) : (own.waitingSince ?? undefined);
  if (waiting === undefined) await freezeRollout(tx, revision, at);
  await insertReleases(tx, revision.repositoryId, revisionId, news);
  await endErrors(
    tx,
    revisionId,
    news.map(({ host }) => host),
  );
  await insertRollout(tx, revisionId, at, waiting);
  // One that waits takes the place of another one that waits.
  const superseded = await supersedeRollouts(tx, revision, at, waiting === undefined ? undefined : isWaiting());
  await notify(tx, ...[revisionId, ...superseded].map((id) => ({ topic: 'revision' as const, id })));
  // Without a release, too, a rollout begins: somebody has to decide about it.
  if (news.length === 0) await notify(tx, { topic: 'host', host: '*' });
  await notifyHosts(
    tx,
    news.map(({ host }) => host),
  );
}

/** Hands out what is ready of a revision that is still built, or of one that is published. */
export async function handOutSome(db: Database, revisionId: string, news: readonly NewRelease[], at: number): Promise<HandedOut> {
  return await db.transaction(async (tx) => {
    const revision = await lockRevision(tx, revisionId);
    if (!isHandingOut(revision.state)) return { kind: 'stale', state: revision.state };
    const known = await hostsWithRelease(tx, revisionId);
    const isFirst = known.size === 0;
    if (news.every(({ host }) => known.has(host))) return { kind: 'handed-out', isFirst: false };
    await handOut(tx, revisionId, revision, news, isFirst, at);
    return { kind: 'handed-out', isFirst };
  });
}

/** Publishes: hands out the rest, and nothing is built any more. */
export async function publish(db: Database, revisionId: string, news: readonly NewRelease[], at: number): Promise<Published> {
  return await db.transaction(async (tx) => {
    const revision = await lockRevision(tx, revisionId);
    const isPublished = revision.state === 'PUBLISHED';
    if (!isPublished && nextRevisionState(revision.state, 'built') === null) return { kind: 'stale', state: revision.state };
    const known = await hostsWithRelease(tx, revisionId);
    if (isPublished && news.every(({ host }) => known.has(host))) return { kind: 'published' };
    // Hosts that are built late do not change the state of a published revision.
    if (!isPublished) {
      const lastBuilt = tx
        .select({ at: sql`max(${evaluations.builtAt})` })
        .from(evaluations)
        .where(eq(evaluations.revisionId, revisionId));
      const builtAt = sql`coalesce(${revisions.builtAt}, (${lastBuilt}), ${at})`;
      // A revision that was evaluated again keeps the time of its first publication.
      const publishedAt = sql`coalesce(${revisions.publishedAt}, ${at})`;
      await moveRevision(tx, revisionId, { event: 'built', at, also: { builtAt, publishedAt } });
    }
    await handOut(tx, revisionId, revision, news, known.size === 0, at);
    return { kind: 'published' };
  });
}

/** Hosts that nobody came to evaluate, and that the last published commit found to be not Floe's, are so until another commit looks (SPEC R15). */
async function keepNotOurs(tx: Database, revisionId: string, repositoryId: string): Promise<void> {
  const [last] = await tx
    .select({ id: revisions.id })
    .from(revisions)
    .where(and(eq(revisions.repositoryId, repositoryId), eq(revisions.state, 'PUBLISHED')))
    .orderBy(desc(revisions.sequence))
    .limit(1);
  if (last === undefined) return;
  const before = alias(evaluations, 'before');
  const wasNotOurs = tx
    .select({ host: before.host })
    .from(before)
    .where(and(eq(before.revisionId, last.id), eq(before.outcome, 'NOT_OURS')));
  await tx
    .update(evaluations)
    .set({ outcome: 'NOT_OURS' })
    .where(and(eq(evaluations.revisionId, revisionId), eq(evaluations.outcome, 'NOT_EVALUATED'), inArray(evaluations.host, wasNotOurs)));
}

/**
 * A newer commit goes first. A revision that has handed out nothing is SUPERSEDED. Of one that has, the rollout goes on with the hosts
 * that have their release, until the newer one has some: it is PUBLISHED with these, and the others keep what they have. The lock
 * keeps a release that is stored at that moment from being missed.
 */
export async function overtake(tx: Database, revisionId: string, by: Locked['sha'], at: number): Promise<Advanced> {
  const { state, repositoryId } = await lockRevision(tx, revisionId);
  const isHandedOut = state === 'BUILDING' && (await hostsWithRelease(tx, revisionId)).size > 0;
  if (!isHandedOut) return await moveRevision(tx, revisionId, { event: 'superseded', at, also: { supersededBy: by } });
  await tx
    .update(evaluations)
    .set({ outcome: 'BUILD_ERROR', error: `not built: ${by.slice(0, 10)} came first`, retryAt: null })
    .where(isToBeBuilt(tx, revisionId));
  await keepNotOurs(tx, revisionId, repositoryId);
  await notify(tx, { topic: 'host', host: '*' });
  // It may have been published with all its hosts before, and was evaluated again.
  return await moveRevision(tx, revisionId, { event: 'built', at, also: { builtAt: null } });
}
