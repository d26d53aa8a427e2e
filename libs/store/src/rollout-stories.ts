import {
  countRollout,
  HOST_STANDINGS,
  MAX_COUNTER,
  MAX_RINGS,
  resultsOfRings,
  RING_STATES,
  storableText,
  summarizeRollout,
  type HostName,
  type HostStanding,
  type RingResult,
} from '@floe/model';
import { and, eq, inArray, isNull, lt } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { readEvaluations } from './evaluations.ts';
import { readFleet } from './fleet.ts';
import type { RolloutStory } from './records.ts';
import { ringHosts } from './ring-hosts.ts';
import { rolloutHosts } from './rollout-hosts.ts';
import { newestRollout, type Successor } from './rollouts.ts';
import { RowReader } from './row-reader.ts';
import { revisions, rolloutStories } from './tables/index.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_COUNTER));
const text = (maxCharacters: number) =>
  v.pipe(
    v.string(),
    v.transform((some) => storableText(some, maxCharacters)),
  );
/** A standing of another version of Floe counts as 0 here. */
const CountsColumn = v.object({ total: Count, ...v.entriesFromList(HOST_STANDINGS, v.optional(Count, 0)) });
const HostsColumn = v.pipe(
  v.array(v.object({ host: text(1_024), standing: v.string(), reason: v.optional(text(500)) })),
  v.maxLength(1_000),
  v.transform((rows) =>
    rows.flatMap(({ host, standing, reason }) =>
      (HOST_STANDINGS as readonly string[]).includes(standing) ? [{ host: host as HostName, standing: standing as HostStanding, reason }] : [],
    ),
  ),
);
const RingCountsColumn = v.object(
  v.entriesFromList(['eligible', 'verified', 'failed', 'acknowledged', 'inFlight', 'waiting', 'toCome', 'away'], v.optional(Count, 0)),
);
const RingsColumn = v.pipe(
  v.array(v.object({ name: text(100), state: v.picklist(RING_STATES), counts: RingCountsColumn })),
  v.maxLength(MAX_RINGS),
) satisfies v.GenericSchema<unknown, RingResult[]>;

/**
 * Records the result of the rollout that `successor` supersedes: from then on its hosts move to the newer one. In the transaction
 * that hands out the first release of the successor, before anything of it is stored, so that `resolve()` still answers for the older one. A repeat
 * changes nothing.
 */
export async function freezeRollout(tx: Database, successor: Successor, at: number): Promise<void> {
  const { repositoryId, sequence, sha } = successor;
  const older = await newestRollout(tx, and(eq(revisions.repositoryId, repositoryId), lt(revisions.sequence, sequence)));
  if (older === undefined) return;
  const [superseded] = await tx
    .update(revisions)
    .set({ supersededBy: sha, supersededAt: at })
    .where(and(eq(revisions.id, older.revisionId), eq(revisions.state, 'PUBLISHED'), isNull(revisions.supersededBy)))
    .returning({ id: revisions.id });
  if (superseded === undefined) return;
  const fleet = await readFleet(tx, { repositoryId, now: at });
  const {
    counts,
    leaving,
    hosts: others,
  } = summarizeRollout(
    rolloutHosts({
      evaluations: await readEvaluations(tx, older.revisionId),
      hosts: new Map(fleet.hosts.map((each) => [each.row.host, each])),
      now: at,
      isAborted: older.state === 'ABORTED',
    }),
  );
  const rings = resultsOfRings(older.course, { policy: older.policy, hosts: ringHosts(older, fleet.hosts, at) });
  await tx.insert(rolloutStories).values({ revisionId: older.revisionId, at, counts, leaving, hosts: others, rings }).onConflictDoNothing();
}

/** The recorded results of these revisions, if any. An unreadable row counts as none. */
export async function readStories(db: Database, revisionIds: readonly string[]): Promise<readonly RolloutStory[]> {
  if (revisionIds.length === 0) return [];
  const rows = await db
    .select()
    .from(rolloutStories)
    .where(inArray(rolloutStories.revisionId, [...revisionIds]));
  return rows.flatMap((row) => {
    const reader = new RowReader();
    const story = {
      revisionId: row.revisionId,
      at: reader.time('at', row.at),
      counts: reader.json('counts', row.counts, CountsColumn) ?? countRollout([]),
      leaving: reader.counter('leaving', row.leaving),
      hosts: reader.json('hosts', row.hosts, HostsColumn) ?? [],
      rings: reader.json('rings', row.rings, RingsColumn) ?? [],
    };
    return reader.problem === undefined ? [story] : [];
  });
}
