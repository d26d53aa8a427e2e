import { and, eq } from 'drizzle-orm';
import type { Database } from './database.ts';
import { notify, type HintOrigin } from './hints.ts';
import type { NextOfFleet, Timestamp } from './records.ts';
import { freezeRollout } from './rollout-stories.ts';
import { isWaiting } from './followed.ts';
import { lockOlder, supersedeRollouts } from './rollouts.ts';
import { revisions, rollouts } from './tables/index.ts';
import { isHandingOut } from './tables/unfinished.ts';

/**
 * Begins the rollout that waited. Of two servers one succeeds. The older one ends in the same transaction, with its story: hosts follow
 * one rollout at any time.
 */
export async function beginNext(
  db: Database,
  origin: HintOrigin,
  { id, version }: Pick<NextOfFleet, 'id' | 'version'>,
  at: Timestamp,
): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const [revision] = await tx
      .select({ id: revisions.id, repositoryId: revisions.repositoryId, sequence: revisions.sequence, sha: revisions.sha })
      .from(rollouts)
      .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
      .where(and(eq(rollouts.id, id), eq(rollouts.version, version), isWaiting(), isHandingOut(revisions.state)))
      .for('update');
    if (revision === undefined) return false;
    await lockOlder(tx, revision);
    await freezeRollout(tx, revision, at);
    await tx
      .update(rollouts)
      .set({ state: 'WAITING_APPROVAL', waitingSince: null, startedAt: at, since: at, ringSince: at, version: version + 1 })
      .where(eq(rollouts.id, id));
    const superseded = await supersedeRollouts(tx, revision, at);
    await notify(tx, ...[revision.id, ...superseded].map((each) => ({ topic: 'revision' as const, id: each, origin })), {
      topic: 'host',
      host: '*',
      origin,
    });
    return true;
  });
}
