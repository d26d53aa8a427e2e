import { RING_NAME_FORM, STORE_PATH_FORM, type HostName, type StorePath, type SteppingStone } from '@floe/model';
import { sql, type SQL } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { evaluations, hosts, releases, revisions, steppingStones } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

/** The names of a policy's stones. */
const namesIn = (policy: SQL): SQL =>
  sql`case when jsonb_typeof(${policy} -> 'steppingStones') = 'array' then ${policy} -> 'steppingStones' else '[]'::jsonb end`;

/** Whether {@link noteSteppingStones} has anything to do for a rollout with this policy, as a column of another statement: most fleets have no stones. */
export function hasSteppingStones(policy: PgColumn): SQL {
  return sql`(exists (select from stepping_stones) or ${namesIn(sql`${policy}`)} <> '[]'::jsonb)`;
}

/**
 * In the transaction that completes a rollout, after its releases became stable: those of a stone whose name its policy has for the first time
 * are written down, and stones that it does not name any more are no longer any.
 */
export async function noteSteppingStones(tx: Database, revisionId: string): Promise<void> {
  const ofFleet = sql`(select h.host from ${hosts} h join ${revisions} v on v.repository_id = h.repository_id where v.id = ${revisionId})`;
  const named = sql`(select jsonb_array_elements_text(${namesIn(sql`v.policy`)}) from ${revisions} v where v.id = ${revisionId})`;
  // Those that go and those that come have different names.
  await tx.execute(sql`
    with gone as (delete from ${steppingStones} where host in ${ofFleet} and name not in ${named})
    insert into ${steppingStones} (host, name, release_id, sequence, toplevel)
    select h.host, n.name, r.id, r.sequence, r.toplevel
    from ${hosts} h
    join ${releases} r on r.id = h.stable_release_id
    left join ${evaluations} e on e.revision_id = ${revisionId} and e.host = h.host
    cross join (select * from ${named} as names (name)) n
    where (r.revision_id = ${revisionId} or (e.outcome in ('CHANGED', 'NEW', 'UNCHANGED') and e.toplevel = r.toplevel))
      and h.host in ${ofFleet} and not exists (select from ${steppingStones} s where s.name = n.name and s.host in ${ofFleet})
    on conflict do nothing`);
}

/** The stones of each host that has some, in any order: as one column beside its row, so that a look at a fleet takes no statement more. */
export function stonesByHost(db: Database) {
  const { host, name, releaseId, sequence, toplevel } = steppingStones;
  const stone = sql`jsonb_build_object('name', ${name}, 'id', ${releaseId}, 'sequence', ${sequence}, 'toplevel', ${toplevel})`;
  return db
    .select({ host, list: sql`jsonb_agg(${stone})`.as('list') })
    .from(steppingStones)
    .where(isReadableCounter(sequence))
    .groupBy(host)
    .as('stones');
}

const Stone = v.object({
  name: v.pipe(v.string(), v.regex(RING_NAME_FORM)),
  id: v.string(),
  sequence: v.number(),
  toplevel: v.pipe(
    v.string(),
    v.regex(STORE_PATH_FORM),
    v.transform((text) => text as StorePath),
  ),
});
const Stones = v.fallback(v.array(Stone), []);

/** One that cannot be read is none: its host goes on. */
export function toSteppingStones(host: HostName, list: unknown): readonly SteppingStone[] {
  return list === null ? [] : v.parse(Stones, list).map((stone) => ({ ...stone, host }));
}
