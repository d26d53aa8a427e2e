import { boundedTime, storableText, type CommitSha, type HostName, type OrderedQuarantine, type StorePath } from '@floe/model';
import { and, eq, lte, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import type { QuarantineOrder, QuarantineStore } from './quarantine-records.ts';
import { RowReader } from './row-reader.ts';
import { HostNameText, isOneOf, readRows } from './rows.ts';
import { evaluations, hosts, quarantineOrders, releases, revisions } from './tables/index.ts';

/** Instead of a host's name: every host that the commit changed. */
const ALL_HOSTS = '*';

/** Not trusted: a number may have any size, and a text any length. */
const Numeric = v.pipe(v.union([v.number(), v.string()]), v.transform(Number));
const Row = v.object({
  host: HostNameText,
  toplevel: v.pipe(
    v.string(),
    v.transform((path) => path as StorePath),
  ),
  reason: v.string(),
  at: Numeric,
  sequence: Numeric,
  commit: v.string(),
  by: v.string(),
  subject: v.string(),
  until: v.nullable(Numeric),
});

/** An evaluation `e` of the revision `r` whose host has another system by it. One that is evaluated again says no more what it changed, but its releases do. */
const IS_CHANGED = sql`(e.outcome in ('CHANGED', 'NEW') or exists (
  select from ${releases} l where l.repository_id = r.repository_id and l.host = e.host and l.sequence = r.sequence))`;

/** Whether {@link readOrdered} finds any, as a column of another statement: most of the time there are none. */
export function hasOrdered(repositoryId: string): SQL {
  return sql`exists (select from quarantine_orders o where o.repository_id = ${repositoryId})`;
}

/**
 * What people said does not run on each host, by system: of several orders the first. An order is about the system that its commit has for
 * a host; one about all hosts is not about those whose system the commit left as it was.
 */
export async function readOrdered(
  db: Database,
  repositoryId: string,
  names: readonly HostName[] | undefined,
): Promise<ReadonlyMap<HostName, ReadonlyMap<StorePath, OrderedQuarantine>>> {
  const found = await db.execute(sql`
    select e.host, e.toplevel, o.reason, o.created_at as at, r.sequence, o.commit, o.by, o.subject, o.until
    from ${quarantineOrders} o
    join ${revisions} r on r.repository_id = o.repository_id and r.sha = o.commit
    join ${evaluations} e on e.revision_id = r.id and (e.host = o.subject or (o.subject = ${ALL_HOSTS} and ${IS_CHANGED}))
    where o.repository_id = ${repositoryId} and e.toplevel is not null and ${names === undefined ? sql`true` : isOneOf(sql`e.host`, names)}
    order by e.host, o.created_at, o.subject`);
  const byHost = new Map<HostName, Map<StorePath, OrderedQuarantine>>();
  for (const { host, toplevel, reason, at, sequence, commit: sha, by, subject, until } of readRows(Row, found)) {
    const commit = new RowReader().commit('commit', sha as CommitSha);
    const ordered = byHost.get(host) ?? new Map<StorePath, OrderedQuarantine>();
    byHost.set(host, ordered);
    if (commit === undefined || ordered.has(toplevel)) continue;
    ordered.set(toplevel, {
      commit,
      sequence: Number.isSafeInteger(sequence) ? sequence : 0,
      by: storableText(by, 200),
      reason: storableText(reason, 2_000),
      at: boundedTime(at),
      until: until === null ? undefined : boundedTime(until),
      isOfAll: subject === ALL_HOSTS,
    });
  }
  return byHost;
}

export function createQuarantineOrders(db: Database): Pick<QuarantineStore, 'orderQuarantine' | 'liftQuarantine'> {
  return {
    async orderQuarantine({ repositoryId, host, commit, reason, by, at, until }: QuarantineOrder) {
      const set = { reason: storableText(reason, 2_000), by, createdAt: at, until: until ?? null };
      return await db.transaction(async (tx) => {
        // Locked, so that it is not forgotten before the insert: whoever orders it is told that it is gone.
        if (host !== undefined && (await tx.select({ host: hosts.host }).from(hosts).where(eq(hosts.host, host)).for('key share')).length === 0)
          return false;
        await tx
          .insert(quarantineOrders)
          .values({ repositoryId, subject: host ?? ALL_HOSTS, commit, ...set })
          .onConflictDoUpdate({ target: [quarantineOrders.repositoryId, quarantineOrders.subject, quarantineOrders.commit], set });
        await notify(tx, { topic: 'host', host: host ?? '*' });
        return true;
      });
    },
    async liftQuarantine({ repositoryId, host, commit, endedBy }) {
      return await db.transaction(async (tx) => {
        const { repositoryId: ofRepository, subject, commit: ofCommit, until } = quarantineOrders;
        const hasEnded = endedBy === undefined ? undefined : lte(until, endedBy);
        const lifted = await tx
          .delete(quarantineOrders)
          .where(and(eq(ofRepository, repositoryId), eq(subject, host ?? ALL_HOSTS), eq(ofCommit, commit), hasEnded))
          .returning({ subject });
        if (lifted.length > 0) await notify(tx, { topic: 'host', host: host ?? '*' });
        return lifted.length > 0;
      });
    },
  };
}
