import { nextRevisionState } from '@floe/model';
import { asc, eq, isNull, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify, notifyHosts } from './hints.ts';
import type { NewRelease, Release } from './records.ts';
import { toRelease } from './release-rows.ts';
import { moveRevision } from './revision-moves.ts';
import { freezeRollout } from './rollout-stories.ts';
import { waitsSince } from './next-rollouts.ts';
import { insertRollout, isWaiting, supersedeRollouts } from './rollouts.ts';
import type { Published } from './store.ts';
import { evaluations, releases, revisions, rollouts } from './tables/index.ts';

/** Rows per insert: Postgres takes 65,535 parameters in one statement, and a row has 8. */
const ROWS_PER_INSERT = 5_000;

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
 * Publishes. The lock on the revision's row prevents two races: with another worker that publishes the same revision after a lost
 * lease (it waits, and finds the releases), and with a newer commit that supersedes this one (the second one finds the state of
 * the first). `receive` locks the repository's row in a mode that lets the releases refer to it: otherwise each could wait for
 * the other's lock.
 */
export async function publish(db: Database, revisionId: string, news: readonly NewRelease[], at: number): Promise<Published> {
  return await db.transaction(async (tx) => {
    const [revision] = await tx
      .select({ state: revisions.state, repositoryId: revisions.repositoryId, sequence: revisions.sequence, sha: revisions.sha })
      .from(revisions)
      .where(eq(revisions.id, revisionId))
      .for('update');
    if (revision === undefined) throw missingRow('revision', revisionId);
    const isPublished = revision.state === 'PUBLISHED';
    if (!isPublished && nextRevisionState(revision.state, 'built') === null) return { kind: 'stale', state: revision.state };
    const before = await ofRevision(tx, revisionId);
    const known = new Set(before.map(({ host }) => host));
    if (isPublished && news.every(({ host }) => known.has(host))) return { kind: 'published', releases: before };

    const lastBuilt = tx
      .select({ at: sql`max(${evaluations.builtAt})` })
      .from(evaluations)
      .where(eq(evaluations.revisionId, revisionId));
    const [own] = await tx.select({ waitingSince: rollouts.waitingSince }).from(rollouts).where(eq(rollouts.revisionId, revisionId));
    const hasReleases = before.length + news.length > 0;
    const waiting = own === undefined ? await waitsSince(tx, { ...revision, hasReleases }, at) : (own.waitingSince ?? undefined);
    if (waiting === undefined) await freezeRollout(tx, revision, at);
    // Hosts that are built late do not change the state of a published revision.
    if (!isPublished) {
      const builtAt = sql`coalesce(${revisions.builtAt}, (${lastBuilt}), ${at})`;
      // A revision that was evaluated again keeps the time of its first publication.
      const publishedAt = sql`coalesce(${revisions.publishedAt}, ${at})`;
      await moveRevision(tx, revisionId, { event: 'built', at, also: { builtAt, publishedAt } });
    }
    await insertReleases(tx, revision.repositoryId, revisionId, news);
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
    return { kind: 'published', releases: await ofRevision(tx, revisionId) };
  });
}
