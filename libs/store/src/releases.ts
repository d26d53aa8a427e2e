import { and, eq, sql } from 'drizzle-orm';
import { isEndedRevision } from '@floe/model';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { notify, notifyHosts } from './hints.ts';
import { pruneReleases } from './history.ts';
import { handOutSome, hostsWithRelease, publish } from './publish.ts';
import { commitsOf } from './release-commits.ts';
import { newestPerHost, releasesOfRollout, toRelease } from './release-rows.ts';
import { Int8, isOneOf } from './rows.ts';
import { nested } from './rows-as-text.ts';
import type { ReleaseStore } from './release-contract.ts';
import { freshness, hosts, pins, releases, revisions } from './tables/index.ts';
import { systemsInUse } from './systems-in-use.ts';
import { readableCounter, readableTime, type LeftOutRows } from './unreadable.ts';

/**
 * Statements are logged before they are published. If a revision ended without being published, its statements were never handed
 * out. If it is unfinished here, they may have been: a database that was restored to a time before the publication looks the same
 * as one whose server died in between. Then they count as handed out. Otherwise a host that accepted one would get an older
 * release as soon as a newer commit supersedes the revision.
 */
async function importStatement(db: Database, release: Parameters<ReleaseStore['importStatement']>[0]): Promise<boolean> {
  const { repositoryId, host, sequence, toplevel, commit, issuedAt, envelope, isSubmitted } = release;
  const [revision] = await db
    .select({ state: revisions.state })
    .from(revisions)
    .where(and(eq(revisions.repositoryId, repositoryId), eq(revisions.sequence, sequence), eq(revisions.sha, commit)));
  if (revision !== undefined && revision.state !== 'PUBLISHED' && isEndedRevision(revision.state)) return false;
  return await db.transaction(async (tx) => {
    const added = await tx
      .insert(releases)
      .values({ repositoryId, host, sequence, toplevel, commit, issuedAt, envelope, isSubmitted })
      .onConflictDoNothing()
      .returning({ id: releases.id });
    if (added.length > 0) await notify(tx, { topic: 'host', host });
    return added.length > 0;
  });
}

/** A host that refused the previous signature of a release gets the new one, with an epoch that it has not judged yet. */
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
    handOut: async (revisionId, news, at) => await handOutSome(db, revisionId, news, at),
    hostsOf: async (revisionId) => await hostsWithRelease(db, revisionId),
    importStatement: async (release) => await importStatement(db, release),
    async ofRevision({ id: revisionId, repositoryId, sequence }, host) {
      const [found] = await releasesOfRollout(db, repositoryId, { sequence, revisionId }, [host]);
      // One that was restored from the statement log may be of a later time.
      if (found === undefined || found.sequence > sequence) return undefined;
      return { id: found.id, host, sequence: found.sequence, toplevel: found.toplevel };
    },
    latest: async (repositoryId) => await newestPerHost(db, repositoryId, (bad) => leftOut.set('releases', bad)),
    systemsInUse: async (repositoryId) => await systemsInUse(db, repositoryId),
    async submitted(repositoryId) {
      const isKept = sql`exists (select from ${hosts} h where h.desired_release_id = ${releases.id} or exists (
        select from ${pins} p where p.host = h.host and p.release_id = ${releases.id}))`;
      const isOf = and(eq(releases.repositoryId, repositoryId), eq(releases.isSubmitted, true), isKept);
      return (await db.select().from(releases).where(isOf)).flatMap(toRelease);
    },
    async toOffer(repositoryId, ids) {
      const named = nested({ release: releases }, sql`${releases} where ${isOneOf(releases.id, ids)}`);
      const [row] = await db
        .select({ envelope: freshness.envelope, named: named.column })
        .from(sql`(select 1) as one`)
        .leftJoin(freshness, eq(freshness.repositoryId, repositoryId));
      return { releases: named.read(row?.named ?? null).flatMap(({ release }) => toRelease(release)), freshness: row?.envelope ?? undefined };
    },
    async page(repositoryId, limit, after) {
      const { sequence, host, envelope } = releases;
      return await db
        .select({ sequence, host, envelope })
        .from(releases)
        .where(
          and(
            eq(releases.repositoryId, repositoryId),
            after === undefined ? undefined : sql`(${host}, ${sequence}) > (${after.host}, ${after.sequence})`,
          ),
        )
        .orderBy(host, sequence)
        .limit(limit);
    },
    commitsOf: async (systems) => await commitsOf(db, systems),
    async saveFreshness(repositoryId, envelope, sequence, asOf) {
      await db
        .insert(freshness)
        .values({ repositoryId, envelope, sequence, asOf, highestAsOf: asOf })
        .onConflictDoUpdate({
          target: freshness.repositoryId,
          // Of two statements about the same thing the one written later counts, even if its date is earlier, because the clock
          // may have been set.
          set: {
            envelope,
            sequence,
            asOf,
            highestAsOf: sql`greatest(${readableTime(freshness.highestAsOf)}, ${readableTime(freshness.asOf)}, ${asOf}::bigint)`,
          },
          setWhere: sql`${readableCounter(freshness.sequence)} <= ${sequence}`,
        });
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
