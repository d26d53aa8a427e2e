import { HOST_NAME_FORM, type KnownHost } from '@floe/model';
import { and, asc, eq, isNotNull, sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { lockHosts } from './host-rows.ts';
import type { LeftHosts } from './records.ts';
import { RowReader } from './row-reader.ts';
import { storedText } from './rows.ts';
import { readAsText } from './rows-as-text.ts';
import { hosts, revisions } from './tables/index.ts';

// The ring and the labels that each host had in the last complete rollout that had it: they stay with the host's row while it is not in the
// flake, or does not evaluate.

export const LabelsColumn = v.array(storedText(200));

/** The hosts of the revision's repository that a complete rollout had. */
export async function readKnownHosts(db: Database, revisionId: string): Promise<readonly KnownHost[]> {
  const fields = { host: hosts.host, ring: hosts.lastRing, labels: hosts.lastLabels, timeZone: hosts.lastTimeZone };
  const rows = await readAsText(db, fields, (selected) =>
    selected
      .from(hosts)
      .innerJoin(revisions, and(eq(revisions.repositoryId, hosts.repositoryId), eq(revisions.id, revisionId)))
      .where(isNotNull(hosts.lastLabels))
      .orderBy(asc(hosts.host)),
  );
  return rows
    .filter(({ host }) => HOST_NAME_FORM.test(host))
    .map(({ host, ring, labels, timeZone }) => ({
      host,
      ring: ring ?? undefined,
      timeZone: timeZone ?? undefined,
      labels: new RowReader().json('last_labels', labels, LabelsColumn) ?? [],
    }));
}

/** In the transaction in which a rollout completes. The hosts that its commit does not have keep what they had, by the names of now. */
export async function leaveHosts(tx: Database, revisionId: string, { hosts: left, renamed }: LeftHosts): Promise<void> {
  const repository = sql`(select r.repository_id from ${revisions} r where r.id = ${revisionId})`;
  const rows = sql`jsonb_to_recordset(${JSON.stringify(left.map((each) => ({ ...each, ring: each.ring ?? null })))}::text::jsonb) as n(host text, ring text, labels jsonb, "timeZone" text)`;
  const ring = sql`${JSON.stringify(Object.fromEntries(renamed))}::text::jsonb ->> h.last_ring`;
  await lockHosts(tx, eq(hosts.repositoryId, repository));
  await tx.execute(sql`
    update ${hosts} as h set last_ring = ${ring}
    where h.repository_id = ${repository} and h.last_labels is not null and h.last_ring is distinct from (${ring})
      and not exists (select from ${rows} where n.host = h.host)`);
  await tx.execute(sql`
    update ${hosts} as h set last_ring = n.ring, last_labels = n.labels, last_time_zone = n."timeZone" from ${rows}
    where h.repository_id = ${repository} and h.host = n.host and (h.last_ring, h.last_labels, h.last_time_zone) is distinct from (n.ring, n.labels, n."timeZone")`);
}
