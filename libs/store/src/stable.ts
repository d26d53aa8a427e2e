import { and, eq, sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import { lockHosts } from './host-rows.ts';
import { policyToLog } from './lost-rollouts.ts';
import { HostNameText, Int8, isOneOf, readRows, StorePathText } from './rows.ts';
import type { LoggedPolicy, StableRelease, StableStore } from './stable-contract.ts';
import { hosts, releases, repositories } from './tables/index.ts';
import { isReadableCounter, readableCounter } from './unreadable.ts';

const Told = v.object({ host: HostNameText, sequence: Int8, toplevel: StorePathText });

/** As rows of a statement, with what is stored of the releases that they name. */
function rowsOf(told: readonly StableRelease[]) {
  const rows = JSON.stringify(told.map(({ host, sequence, toplevel }) => ({ host, sequence, toplevel })));
  return sql`jsonb_to_recordset(${rows}::text::jsonb) as w (host text, sequence bigint, toplevel text)`;
}

async function lockTold(tx: Database, told: readonly StableRelease[]): Promise<void> {
  const names = told.map(({ host }) => host);
  await lockHosts(tx, isOneOf(hosts.host, names));
}

/** All as of one moment: else a rollout that ends between two of these reads would have its policy logged, and not its hosts. */
async function unlogged(db: Database, repositoryId: string): ReturnType<StableStore['unlogged']> {
  return await db.transaction(async (tx) => await readUnlogged(tx, repositoryId), { isolationLevel: 'repeatable read', accessMode: 'read only' });
}

async function readUnlogged(db: Database, repositoryId: string): ReturnType<StableStore['unlogged']> {
  const [row] = await db
    .select({ number: readableCounter(repositories.stableNumber) })
    .from(repositories)
    .where(eq(repositories.id, repositoryId));
  const found = await db
    .select({ host: releases.host, sequence: releases.sequence, toplevel: releases.toplevel })
    .from(hosts)
    // By the name that was signed: of a release under another one nothing can be logged.
    .innerJoin(releases, and(eq(releases.id, hosts.stableReleaseId), eq(releases.host, hosts.host)))
    .where(
      and(
        eq(hosts.repositoryId, repositoryId),
        sql`${hosts.stableReleaseId} is distinct from ${hosts.loggedStableId}`,
        isReadableCounter(releases.sequence),
      ),
    )
    .orderBy(hosts.host);
  return { number: row === undefined ? 0 : v.parse(Int8, row.number), hosts: found, policy: await policyToLog(db, repositoryId) };
}

async function noteLogged(
  db: Database,
  repositoryId: string,
  number: number,
  told: readonly StableRelease[],
  policy?: LoggedPolicy | null,
): Promise<void> {
  await db.transaction(async (tx) => {
    await lockTold(tx, told);
    await tx.execute(sql`
      update ${hosts} as h set logged_stable_id = r.id
      from ${rowsOf(told)} join ${releases} r on r.host = w.host and r.sequence = w.sequence
      where h.host = w.host and h.repository_id = ${repositoryId} and h.stable_release_id = r.id`);
    await tx
      .update(repositories)
      .set({
        stableNumber: sql`greatest(${readableCounter(repositories.stableNumber)}, ${number}::bigint)`,
        ...(policy === undefined ? {} : { loggedPolicy: policy }),
      })
      .where(eq(repositories.id, repositoryId));
  });
}

/** What is stored already as the host's release decides, and not what the log says of it. */
async function restore(db: Database, repositoryId: string, told: readonly StableRelease[]): Promise<readonly StableRelease[]> {
  return await db.transaction(async (tx) => {
    await lockTold(tx, told);
    const moved = await tx.execute(sql`
      update ${hosts} as h set stable_release_id = r.id, logged_stable_id = r.id, stable_by = null
      from ${rowsOf(told)} join ${releases} r on r.host = w.host and r.sequence = w.sequence and r.toplevel = w.toplevel
      where h.host = w.host and h.repository_id = ${repositoryId} and r.repository_id = ${repositoryId}
        and not exists (select from ${releases} s where s.id = h.stable_release_id and s.sequence >= r.sequence)
      returning h.host`);
    if (readRows(v.object({ host: HostNameText }), moved).length > 0) await notify(tx, { topic: 'host', host: '*' });
    const missing = await tx.execute(sql`
      select w.host, w.sequence, w.toplevel from ${rowsOf(told)}
      where not exists (
        select from ${releases} r where r.repository_id = ${repositoryId} and r.host = w.host and r.sequence = w.sequence and r.toplevel = w.toplevel)`);
    return readRows(Told, missing);
  });
}

export function createStableStore(db: Database): StableStore {
  return {
    unlogged: async (repositoryId) => await unlogged(db, repositoryId),
    noteLogged: async (repositoryId, number, told, policy) => await noteLogged(db, repositoryId, number, told, policy),
    async relog(repositoryId) {
      const isOf = eq(hosts.repositoryId, repositoryId);
      await db.transaction(async (tx) => {
        await lockHosts(tx, isOf);
        await tx.update(hosts).set({ loggedStableId: null }).where(isOf);
      });
    },
    restore: async (repositoryId, told) => await restore(db, repositoryId, told),
  };
}
