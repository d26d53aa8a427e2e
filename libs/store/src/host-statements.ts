import { sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { HOST_STATEMENT_KINDS, type HostStatementStore, type SavedHostStatement } from './host-statement-contract.ts';
import { HostNameText, Int8, readRows } from './rows.ts';

/** Of each host, ends of directives and permits: what an export can show of its past. */
export const KEEP_HOST_STATEMENTS = 16;

const Listed = v.pipe(
  v.object({ host: HostNameText, kind: v.picklist(HOST_STATEMENT_KINDS), epoch: Int8, public_key: v.string(), envelope: v.string() }),
  v.transform(({ public_key: publicKey, ...row }) => ({ ...row, publicKey })),
);

/**
 * One statement for the batch, as a fleet that comes back says all of this at once. In the order of names, so that two batches wait for each other
 * and do not deadlock.
 */
async function save(db: Database, batch: readonly SavedHostStatement[]): Promise<void> {
  if (batch.length === 0) return;
  const rows = JSON.stringify(batch.map(({ publicKey, ...row }, place) => ({ ...row, public_key: publicKey, place })));
  await db.transaction(async (tx) => {
    await tx.execute(sql`
      insert into host_statements (host, kind, epoch, seq, public_key, envelope, at)
      select distinct on (b.host, b.kind, b.epoch) b.host, b.kind, b.epoch, b.seq, b.public_key, b.envelope, b.at
      from jsonb_to_recordset(${rows}::text::jsonb) as b (
        host text, kind text, epoch bigint, seq bigint, public_key text, envelope text, at bigint, place bigint)
      join hosts h on h.host = b.host
      order by b.host, b.kind, b.epoch, b.seq desc, b.place desc
      on conflict (host, kind, epoch) do update set
        seq = excluded.seq, public_key = excluded.public_key, envelope = excluded.envelope, at = excluded.at
      where excluded.seq >= host_statements.seq or excluded.public_key <> host_statements.public_key`);
    await tx.execute(sql`
      delete from host_statements s using (
        select distinct b.host, k.kind from jsonb_to_recordset(${rows}::text::jsonb) as b (host text)
        cross join (values ('end'), ('permit')) as k (kind)
      ) as n
      where s.host = n.host and s.kind = n.kind and s.epoch <= (
        select o.epoch from host_statements o where o.host = n.host and o.kind = n.kind
        order by o.epoch desc limit 1 offset ${KEEP_HOST_STATEMENTS})`);
  });
}

export function createHostStatementStore(db: Database): HostStatementStore {
  return {
    save: async (batch) => await save(db, batch),
    ofHost: async (host) =>
      readRows(Listed, await db.execute(sql`select host, kind, epoch, public_key, envelope from host_statements where host = ${host}`)),
    async page(limit, after) {
      const isAfter = after === undefined ? sql`true` : sql`(host, kind, epoch) > (${after.host}, ${after.kind}, ${after.epoch})`;
      return readRows(
        Listed,
        await db.execute(
          sql`select host, kind, epoch, public_key, envelope from host_statements where ${isAfter} order by host, kind, epoch limit ${limit}`,
        ),
      );
    },
  };
}
