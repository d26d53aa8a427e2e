import { HOST_NAME_FORM, type KnownHost } from '@floe/model';
import { sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import type { LeftHosts } from './records.ts';
import { RowReader } from './row-reader.ts';
import { storedText } from './rows.ts';
import { nested } from './rows-as-text.ts';
import { hosts, revisions } from './tables/index.ts';

// The ring and the labels that each host had in the last complete rollout that had it: they stay with the host's row while it is not in the
// flake, or does not evaluate.

export const LabelsColumn = v.array(storedText(200));

/** The hosts that a complete rollout had, of the repository of a row of `revisions`: by name, as a column beside it. */
const KNOWN_HOSTS = nested(
  { host: hosts.host, ring: hosts.lastRing, labels: hosts.lastLabels, timeZone: hosts.lastTimeZone },
  sql`(select * from ${hosts} where ${hosts.repositoryId} = ${revisions.repositoryId} and ${hosts.lastLabels} is not null order by ${hosts.host}) as ${hosts}`,
);
export const knownHostsColumn: SQL = KNOWN_HOSTS.column;

export function toKnownHosts(column: unknown): readonly KnownHost[] {
  return KNOWN_HOSTS.read(column)
    .filter(({ host }) => HOST_NAME_FORM.test(host))
    .map(({ host, ring, labels, timeZone }) => ({
      host,
      ring: ring ?? undefined,
      timeZone: timeZone ?? undefined,
      labels: new RowReader().json('last_labels', labels, LabelsColumn) ?? [],
    }));
}

/**
 * In the transaction in which a rollout completes, which has locked all hosts of its repository. The hosts that its commit does not have keep
 * what they had, by the names of now.
 */
export async function leaveHosts(tx: Database, revisionId: string, { hosts: left, renamed }: LeftHosts): Promise<void> {
  const repository = sql`(select r.repository_id from ${revisions} r where r.id = ${revisionId})`;
  const rows = sql`jsonb_to_recordset(${JSON.stringify(left.map((each) => ({ ...each, ring: each.ring ?? null })))}::text::jsonb) as n(host text, ring text, labels jsonb, "timeZone" text)`;
  const ring = sql`${JSON.stringify(Object.fromEntries(renamed))}::text::jsonb ->> h.last_ring`;
  await tx.execute(sql`
    with kept as (
      select h.host, ${ring} as ring, h.last_labels as labels, h.last_time_zone as "timeZone" from ${hosts} h
      where h.repository_id = ${repository} and h.last_labels is not null and not exists (select from ${rows} where n.host = h.host)
    ),
    known as (select * from kept union all select n.host, n.ring, n.labels, n."timeZone" from ${rows})
    update ${hosts} as h set last_ring = n.ring, last_labels = n.labels, last_time_zone = n."timeZone" from known n
    where h.repository_id = ${repository} and h.host = n.host and (h.last_ring, h.last_labels, h.last_time_zone) is distinct from (n.ring, n.labels, n."timeZone")`);
}
