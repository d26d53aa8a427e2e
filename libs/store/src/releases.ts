import { and, asc, desc, eq, inArray, isNull, lt, lte, or, sql, type SQL } from 'drizzle-orm';
import { isEndedRevision, storableText, type HostName, type RevisionState } from '@floe/model';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify, notifyHosts } from './hints.ts';
import { pruneReleases } from './history.ts';
import { isReadableCounter, readableCounter, readableTime, type LeftOutRows } from './unreadable.ts';
import type { NewRelease, Release } from './records.ts';
import { UNFINISHED_ROLLOUT } from './rollouts.ts';
import { RowReader } from './row-reader.ts';
import { Int8, isOneOf, withoutNulls } from './rows.ts';
import type { Published, ReleaseStore } from './store.ts';
import { evaluations, freshness, hosts, releases, revisions, rollouts } from './tables/index.ts';

/** Rows per insert: Postgres takes 65,535 parameters in one statement, and a row has 8. */
const ROWS_PER_INSERT = 5_000;

/** One that cannot be read is none: its host keeps what it has. */
function toRelease(row: typeof releases.$inferSelect): Release[] {
  const reader = new RowReader();
  const { repositoryId: _, ...release } = withoutNulls(row);
  reader.counter('sequence', row.sequence);
  reader.time('issued_at', row.issuedAt);
  reader.path('toplevel', row.toplevel);
  reader.commit('commit', row.commit);
  return reader.problem === undefined ? [release] : [];
}

/**
 * Of each host the newest release that counts at `sequence`: what it got by then, since a host that a revision does not
 * change keeps its release. One that came back from the statement log counts always: it was handed out in a time that
 * the database forgot, and nothing may move a machine behind it.
 */
export async function releasesAsOf(db: Database, repositoryId: string, sequence: number, names: readonly HostName[] | undefined): Promise<Release[]> {
  return await newestPerHost(
    db,
    and(
      eq(releases.repositoryId, repositoryId),
      or(lte(releases.sequence, sequence), isNull(releases.revisionId)),
      names === undefined ? undefined : isOneOf(releases.host, names),
    ),
  );
}

async function newestPerHost(db: Database, where: SQL | undefined, onLeftOut?: (names: readonly string[]) => void): Promise<Release[]> {
  const rows = await db
    .selectDistinctOn([releases.host])
    .from(releases)
    .where(and(where, isReadableCounter(releases.sequence)))
    .orderBy(asc(releases.host), desc(releases.sequence));
  const bad = rows.filter((row) => toRelease(row).length === 0);
  onLeftOut?.(bad.map(({ host, sequence }) => `the one of ${storableText(host, 60)} with sequence ${sequence}`));
  return rows.flatMap(toRelease);
}

async function ofRevision(db: Database, revisionId: string): Promise<Release[]> {
  const rows = await db.select().from(releases).where(eq(releases.revisionId, revisionId)).orderBy(asc(releases.host));
  return rows.flatMap(toRelease);
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

/**
 * Publishes. The lock on the revision's row closes two races: with another worker that publishes the same revision after
 * a lost lease (it waits, and finds the releases there), and with a newer commit that supersedes this one (whoever comes
 * second finds the other's state). `receive` holds the repository's row in a mode that lets the releases refer to it:
 * else each could wait for what the other holds.
 */
async function publish(db: Database, revisionId: string, news: readonly NewRelease[], at: number): Promise<Published> {
  return await db.transaction(async (tx) => {
    const [revision] = await tx
      .select({ state: revisions.state, repositoryId: revisions.repositoryId, sequence: revisions.sequence, builtAt: revisions.builtAt })
      .from(revisions)
      .where(eq(revisions.id, revisionId))
      .for('update');
    if (revision === undefined) throw missingRow('revision', revisionId);
    const isLate = revision.state === 'PUBLISHED' || revision.state === 'BUILD_FAILED';
    if (!isLate && revision.state !== 'BUILDING') return { kind: 'stale', state: revision.state };
    const before = await ofRevision(tx, revisionId);
    const known = new Set(before.map(({ host }) => host));
    if (revision.state === 'PUBLISHED' && news.every(({ host }) => known.has(host))) return { kind: 'published', releases: before };

    const lastBuilt = tx
      .select({ at: sql`max(${evaluations.builtAt})` })
      .from(evaluations)
      .where(eq(evaluations.revisionId, revisionId));
    const published: RevisionState = 'PUBLISHED';
    await tx
      .update(revisions)
      .set({
        state: published,
        error: null,
        publishedAt: sql`coalesce(${revisions.publishedAt}, ${at})`,
        builtAt: sql`coalesce(${revisions.builtAt}, (${lastBuilt}), ${at})`,
      })
      .where(eq(revisions.id, revisionId));
    await insertReleases(tx, revision.repositoryId, revisionId, news);
    await tx.insert(rollouts).values({ revisionId, state: 'ROLLING', startedAt: at }).onConflictDoNothing();
    // It is complete no more when a host comes late.
    await tx
      .update(rollouts)
      .set({ state: 'ROLLING', completedAt: null })
      .where(and(eq(rollouts.revisionId, revisionId), eq(rollouts.state, 'COMPLETE')));
    const older = tx
      .select({ id: revisions.id })
      .from(revisions)
      .where(and(eq(revisions.repositoryId, revision.repositoryId), lt(revisions.sequence, revision.sequence)));
    const superseded = await tx
      .update(rollouts)
      .set({ state: 'SUPERSEDED' })
      .where(and(inArray(rollouts.revisionId, older), inArray(rollouts.state, UNFINISHED_ROLLOUT)))
      .returning({ id: rollouts.revisionId });
    await notify(tx, ...[{ id: revisionId }, ...superseded].map(({ id }) => ({ topic: 'revision' as const, id })));
    await notifyHosts(
      tx,
      news.map(({ host }) => host),
    );
    return { kind: 'published', releases: await ofRevision(tx, revisionId) };
  });
}

/**
 * Statements are logged before they are published. Of a revision that ended without being published the statement was
 * never handed out. Of one that is unfinished here it may have been: a database that was restored to a moment before
 * the publication looks just like one whose server died in between. It then counts as handed out, or a host that
 * accepted it would be told an older one as soon as a newer commit supersedes the revision.
 */
async function importStatement(db: Database, release: Parameters<ReleaseStore['importStatement']>[0]): Promise<boolean> {
  const { repositoryId, host, sequence, toplevel, commit, issuedAt, envelope } = release;
  const [revision] = await db
    .select({ state: revisions.state })
    .from(revisions)
    .where(and(eq(revisions.repositoryId, repositoryId), eq(revisions.sequence, sequence), eq(revisions.sha, commit)));
  if (revision !== undefined && revision.state !== 'PUBLISHED' && isEndedRevision(revision.state)) return false;
  return await db.transaction(async (tx) => {
    const added = await tx
      .insert(releases)
      .values({ repositoryId, host, sequence, toplevel, commit, issuedAt, envelope })
      .onConflictDoNothing()
      .returning({ id: releases.id });
    if (added.length > 0) await notify(tx, { topic: 'host', host });
    return added.length > 0;
  });
}

/** A host that refused the release as it was is told anew, with an epoch that it has not judged yet. */
async function renew(db: Database, id: string, envelope: string): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.update(releases).set({ envelope }).where(eq(releases.id, id));
    const told = await tx
      .update(hosts)
      .set({ epoch: sql`${hosts.epoch} + 1` })
      .where(and(eq(hosts.desiredReleaseId, id), eq(hosts.state, 'REJECTED')))
      .returning({ host: hosts.host });
    await notifyHosts(
      tx,
      told.map(({ host }) => host),
    );
  });
}

export function createReleaseStore(db: Database, leftOut: LeftOutRows): ReleaseStore {
  return {
    publish: async (revisionId, news, at) => await publish(db, revisionId, news, at),
    importStatement: async (release) => await importStatement(db, release),
    latest: async (repositoryId) => await newestPerHost(db, eq(releases.repositoryId, repositoryId), (bad) => leftOut.set('releases', bad)),
    latestFor: async (host) => (await newestPerHost(db, eq(releases.host, host)))[0],
    byIds: async (ids) => (await db.select().from(releases).where(isOneOf(releases.id, ids))).flatMap(toRelease),
    async saveFreshness(repositoryId, envelope, sequence, asOf) {
      await db
        .insert(freshness)
        .values({ repositoryId, envelope, sequence, asOf, highestAsOf: asOf })
        .onConflictDoUpdate({
          target: freshness.repositoryId,
          // Of two statements about the same the later written one counts, also when its date is before: the clock was set.
          set: {
            envelope,
            sequence,
            asOf,
            highestAsOf: sql`greatest(${readableTime(freshness.highestAsOf)}, ${readableTime(freshness.asOf)}, ${asOf}::bigint)`,
          },
          setWhere: sql`${readableCounter(freshness.sequence)} <= ${sequence}`,
        });
    },
    async freshness(repositoryId) {
      const [row] = await db.select({ envelope: freshness.envelope }).from(freshness).where(eq(freshness.repositoryId, repositoryId));
      return row?.envelope;
    },
    async highestAsOf(repositoryId) {
      const [row] = await db
        .select({ highest: readableTime(freshness.highestAsOf) })
        .from(freshness)
        .where(eq(freshness.repositoryId, repositoryId));
      return row === undefined ? 0 : v.parse(Int8, row.highest);
    },
    prune: async (before) => await pruneReleases(db, before),
    renew: async (id, envelope) => await renew(db, id, envelope),
  };
}
