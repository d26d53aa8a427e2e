import {
  boundedTime,
  EVALUATION_OUTCOMES,
  isConfigurationKnown,
  LABEL_FORM,
  labelsOf,
  MAX_LABEL_STOPS,
  standingStops,
  storableText,
  type HostName,
  type LabelStop,
} from '@floe/model';
import { and, desc, eq, lte, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import { LabelsColumn } from './known-hosts.ts';
import { readPolicy } from './policy-column.ts';
import type { CurrentRollout } from './records.ts';
import { RowReader } from './row-reader.ts';
import { HostNameText, isOneOf } from './rows.ts';
import type { RolloutStore } from './store.ts';
import { evaluations, hosts, labelStops, repositories, revisions, rollouts } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

// People stop the hosts of a label. Who that is follows from the labels at each read: nothing is stored of it for a host.

const Row = v.object({
  label: v.pipe(v.string(), v.regex(LABEL_FORM)),
  by: v.string(),
  reason: v.string(),
  at: v.number(),
  until: v.nullable(v.number()),
});

const Hosts = v.nullable(v.array(v.tuple([HostNameText, v.nullable(v.picklist(EVALUATION_OUTCOMES)), v.unknown(), v.unknown()])));

export function stopsColumn(repositoryId: string): SQL {
  return sql`(select json_agg(s order by s.label) from ${labelStops} s where s.repository_id = ${repositoryId})`;
}

/** A row that cannot be read stops nobody: no host has such a label. */
export function toStops(column: unknown): readonly LabelStop[] {
  const rows = v.safeParse(v.array(v.unknown()), column);
  const stops = (rows.success ? rows.output : []).flatMap((row): LabelStop[] => {
    const read = v.safeParse(Row, row);
    if (!read.success) return [];
    const { label, by, reason, at, until } = read.output;
    const said = { by: storableText(by, 200), reason: storableText(reason, 2_000) };
    return [{ label, ...said, at: boundedTime(at), until: until === null ? undefined : boundedTime(until) }];
  });
  return stops.slice(0, MAX_LABEL_STOPS);
}

interface Asked {
  readonly repositoryId: string;
  readonly names?: readonly HostName[] | undefined;
  readonly now: number;
}

/** The stops of each host: by its labels in the newest revision that has a rollout, else by those that a complete rollout left. */
export async function readStopped(
  db: Database,
  { repositoryId, names, now }: Asked,
  current: Pick<CurrentRollout, 'orders'> | undefined,
): Promise<ReadonlyMap<HostName, readonly LabelStop[]>> {
  const standing = current === undefined ? [] : standingStops(current.orders, now);
  if (standing.length === 0) return new Map();
  const newest = db
    .select({ id: revisions.id, policy: revisions.policy })
    .from(rollouts)
    .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
    .where(and(eq(revisions.repositoryId, repositoryId), isReadableCounter(revisions.sequence)))
    .orderBy(desc(revisions.sequence))
    .limit(1)
    .as('newest');
  const found = await db
    .select({
      policy: newest.policy,
      hosts: sql<unknown>`(
        select json_agg(json_build_array(${hosts.host}, ${evaluations.outcome}, ${evaluations.labels}, ${hosts.lastLabels})) from ${hosts}
        left join ${evaluations} on ${evaluations.revisionId} = "newest"."id" and ${evaluations.host} = ${hosts.host}
        where ${and(eq(hosts.repositoryId, repositoryId), names === undefined ? undefined : isOneOf(hosts.host, names))})`,
    })
    .from(newest)
    // Of joined tables alone Drizzle writes columns with the names of their tables.
    .leftJoin(sql`(select 1) as one`, sql`true`);
  const [row] = found;
  if (row === undefined) return new Map();
  const reader = new RowReader();
  const policy = readPolicy(row.policy, reader);
  const rows = v.parse(Hosts, row.hosts) ?? [];
  return new Map(
    rows.flatMap(([host, outcome, labels, lastLabels]) => {
      const isEvaluated = outcome !== null && isConfigurationKnown(outcome);
      const own = reader.json('labels', isEvaluated ? labels : lastLabels, LabelsColumn) ?? [];
      const has = new Set(labelsOf(policy, { host, labels: own }));
      const stops = standing.filter(({ label }) => has.has(label));
      return stops.length === 0 ? [] : [[host, stops] as const];
    }),
  );
}

export function createLabelStops(db: Database): Pick<RolloutStore, 'stopLabel' | 'startLabel'> {
  return {
    stopLabel: async (repositoryId, { label, by, reason, at, until }) =>
      await db.transaction(async (tx) => {
        const { repositoryId: ofRepository } = labelStops;
        // The lock closes a race: of people who pause several labels at once each would see a place that only one of them can have.
        await tx.select({ id: repositories.id }).from(repositories).where(eq(repositories.id, repositoryId)).for('no key update');
        await tx.delete(labelStops).where(and(eq(ofRepository, repositoryId), lte(labelStops.until, at)));
        const set = { by, at, until: until ?? null, reason: storableText(reason, 2_000) };
        const rows = await tx.select().from(labelStops).where(eq(ofRepository, repositoryId));
        if (rows.filter((other) => other.label !== label).length >= MAX_LABEL_STOPS) return 'too-many';
        await tx
          .insert(labelStops)
          .values({ repositoryId, label, ...set })
          .onConflictDoUpdate({ target: [labelStops.repositoryId, labelStops.label], set });
        await notify(tx, { topic: 'host', host: '*' });
        return { replaced: toStops(rows).find((before) => before.label === label) };
      }),
    startLabel: async (repositoryId, { label, by, at }) =>
      await db.transaction(async (tx) => {
        const ended = await tx
          .delete(labelStops)
          .where(and(eq(labelStops.repositoryId, repositoryId), eq(labelStops.label, label), eq(labelStops.by, by), eq(labelStops.at, at)))
          .returning({ label: labelStops.label });
        if (ended.length > 0) await notify(tx, { topic: 'host', host: '*' });
        return ended.length > 0;
      }),
  };
}
