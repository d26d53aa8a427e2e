import type { HostName } from '@floe/model';
import { and, eq, isNull, max, ne, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { notifyHosts } from './hints.ts';
import { removeHosts } from './host-forgetting.ts';
import { toHostRow } from './host-rows.ts';
import { isOneOf } from './rows.ts';
import type { HostRenames, HostRenaming } from './rename-contract.ts';
import {
  enrolmentTokens,
  evaluations,
  formerHosts,
  hosts,
  quarantineOrders,
  quarantines,
  releases,
  reports,
  rollouts,
  signingRequests,
} from './tables/index.ts';

/** Tables with a foreign key to a host follow it by themselves; these have none. */
async function moveRows(tx: Database, from: HostName, to: HostName): Promise<void> {
  // Of a revision that had both, the machine's own rows stay; that it was removed there says nothing once it has the other name.
  const other = sql`exists (select from evaluations e where e.revision_id = ${evaluations.revisionId} and e.host = ${to})`;
  await tx.delete(evaluations).where(and(eq(evaluations.host, from), eq(evaluations.outcome, 'REMOVED'), other));
  const own = sql`exists (select from evaluations e where e.revision_id = ${evaluations.revisionId} and e.host = ${from})`;
  await tx.delete(evaluations).where(and(eq(evaluations.host, to), own));
  await tx.update(evaluations).set({ host: to }).where(eq(evaluations.host, from));
  // Nobody was ever told the other ones.
  const ownRelease = sql`exists (select from releases r where r.host = ${from} and r.sequence = ${releases.sequence})`;
  await tx.delete(releases).where(and(eq(releases.host, to), ownRelease));
  await tx.update(releases).set({ host: to }).where(eq(releases.host, from));
  await tx.delete(reports).where(eq(reports.host, to));
  await tx.update(reports).set({ host: to }).where(eq(reports.host, from));
  // A token enrols a machine: of neither name may one be left.
  await tx.delete(enrolmentTokens).where(and(isOneOf(enrolmentTokens.host, [from, to]), isNull(enrolmentTokens.usedAt)));
  await tx.update(enrolmentTokens).set({ host: to }).where(eq(enrolmentTokens.host, from));
  // What was asked about either name is asked again about the one that there is.
  await tx.delete(signingRequests).where(isOneOf(signingRequests.host, [from, to]));
}

/** A rename lifts no quarantine of either name. Of two about one commit or system that of `to` stays. */
async function moveQuarantines(tx: Database, from: HostName, to: HostName): Promise<void> {
  const sameOrder = sql`exists (select from quarantine_orders o where o.repository_id = ${quarantineOrders.repositoryId} and o.commit = ${quarantineOrders.commit} and o.subject = ${to})`;
  await tx.delete(quarantineOrders).where(and(eq(quarantineOrders.subject, from), sameOrder));
  await tx.update(quarantineOrders).set({ subject: to }).where(eq(quarantineOrders.subject, from));
  const sameSystem = sql`exists (select from quarantines q where q.toplevel = ${quarantines.toplevel} and q.host = ${to})`;
  await tx.delete(quarantines).where(and(eq(quarantines.host, from), sameSystem));
  await tx.update(quarantines).set({ host: to }).where(eq(quarantines.host, from));
}

/** The frozen rings and the pauses of rollouts name hosts. */
async function moveInRollouts(tx: Database, from: HostName, to: HostName): Promise<void> {
  await tx
    .update(rollouts)
    .set({
      version: sql`${rollouts.version} + 1`,
      rings: sql`(select jsonb_agg(case when e ->> 0 = ${from}::text then jsonb_build_array(${to}::text, e -> 1) else e end)
        from jsonb_array_elements(${rollouts.rings}) e where e ->> 0 is distinct from ${to}::text)`,
    })
    .where(sql`${rollouts.rings} @> jsonb_build_array(jsonb_build_array(${from}::text))`);
  await tx
    .update(rollouts)
    .set({
      version: sql`${rollouts.version} + 1`,
      pause: sql`jsonb_set(${rollouts.pause}, '{failures}', (select jsonb_agg(
        case when e ->> 'host' = ${from}::text then e || jsonb_build_object('host', ${to}::text) else e end) from jsonb_array_elements(${rollouts.pause} -> 'failures') e))`,
    })
    .where(sql`${rollouts.pause} @> jsonb_build_object('failures', jsonb_build_array(jsonb_build_object('host', ${from}::text)))`);
}

async function highestRelease(tx: Database, host: HostName): Promise<number> {
  const [row] = await tx
    .select({ highest: max(releases.sequence) })
    .from(releases)
    .where(eq(releases.host, host));
  return row?.highest ?? -1;
}

async function rename(
  db: Database,
  { formerHost: from, host: to, publicKey, at, isRestored = false, beforeMove }: HostRenaming,
): ReturnType<HostRenames['rename']> {
  return await db.transaction(async (tx) => {
    const locked = async () =>
      await tx
        .select()
        .from(hosts)
        .where(isOneOf(hosts.host, [from, to]))
        .orderBy(hosts.host)
        .for('update');
    // Once more: another rename to this name may have replaced the row while the first statement waited for it, which then sees neither.
    await locked();
    const rows = await locked();
    const former = rows.find(({ host }) => host === from);
    const taken = rows.find(({ host }) => host === to);
    if (former?.publicKey !== publicKey || former.revokedAt !== null || former.clonedAt !== null) return 'not-enrolled';
    // Enrolled again since.
    if ((former.enrolledAt ?? 0) > at) return 'not-enrolled';
    if (taken !== undefined && taken.publicKey !== null) return 'taken';
    if (!isRestored && (await highestRelease(tx, to)) <= (await highestRelease(tx, from))) return 'no-release';
    await beforeMove?.();
    await removeHosts(tx, [to]);
    await moveRows(tx, from, to);
    await moveQuarantines(tx, from, to);
    await moveInRollouts(tx, from, to);
    // Who is connected has the earlier name; it is back at once.
    await tx.update(hosts).set({ host: to, enrolledAt: at, isConnected: false, sessionId: null }).where(eq(hosts.host, from));
    await note(tx, from, to, at);
    await notifyHosts(tx, [from, to]);
    return 'renamed';
  });
}

/** Earlier names that led to `from` lead to `to`, as the rows refer to the host. */
async function note(tx: Database, from: HostName, to: HostName, at: number): Promise<void> {
  await tx.delete(formerHosts).where(eq(formerHosts.formerHost, to));
  await tx
    .insert(formerHosts)
    .values({ formerHost: from, host: to, renamedAt: at })
    .onConflictDoUpdate({ target: formerHosts.formerHost, set: { host: to, renamedAt: at } });
}

export function createHostRenames(db: Database): HostRenames {
  return {
    rename: async (renaming) => await rename(db, renaming),
    async noteRenamed(from, to, at) {
      await db.transaction(async (tx) => {
        const [known] = await tx.select().from(formerHosts).where(eq(formerHosts.formerHost, from));
        const [row] = await tx
          .select({ host: hosts.host })
          .from(hosts)
          .where(and(eq(hosts.host, to), ne(hosts.host, from)));
        if (known === undefined && row !== undefined) await note(tx, from, to, at);
      });
    },
    async renamed(from) {
      const [row] = await db
        .select({ host: hosts })
        .from(formerHosts)
        .innerJoin(hosts, eq(hosts.host, formerHosts.host))
        .where(eq(formerHosts.formerHost, from));
      return row === undefined ? undefined : toHostRow(row.host);
    },
  };
}
