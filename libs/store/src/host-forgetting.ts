import type { HostName } from '@floe/model';
import { and, eq, isNotNull, isNull, ne, notExists, or, gt } from 'drizzle-orm';
import type { Database } from './database.ts';
import { notifyHosts } from './hints.ts';
import { isOneOf } from './rows.ts';
import type { HostStore } from './store.ts';
import { acknowledgements, deploys, directives, evaluations, hosts, pins, reports, revisions } from './tables/index.ts';

/**
 * Removes these rows with everything that refers to them, including the reports: a host of the same name that is enrolled later
 * numbers its reports from 1 again. Releases and evaluations are history, and stay. So do quarantines: to forget a host lifts none.
 */
export async function removeHosts(tx: Database, names: readonly HostName[]): Promise<void> {
  if (names.length === 0) return;
  for (const table of [pins, deploys, acknowledgements, directives, reports]) await tx.delete(table).where(isOneOf(table.host, names));
  await tx.delete(hosts).where(isOneOf(hosts.host, names));
  await notifyHosts(tx, names);
}

/** Hosts that are not enrolled and not in the flake. */
export function createHostForgetting(db: Database): Pick<HostStore, 'forget' | 'forgetLeft'> {
  return {
    forget: async (host) =>
      await db.transaction(async (tx) => {
        // Locked, so that a concurrent enrolment comes afterwards, with a new row.
        const rows = await tx
          .select({ host: hosts.host })
          .from(hosts)
          .where(and(eq(hosts.host, host), or(isNull(hosts.publicKey), isNotNull(hosts.revokedAt))))
          .for('update');
        await removeHosts(
          tx,
          rows.map((row) => row.host),
        );
        return rows.length > 0;
      }),
    forgetLeft: async (repositoryId, revisionId) =>
      await db.transaction(async (tx) => {
        const [revision] = await tx.select({ sequence: revisions.sequence }).from(revisions).where(eq(revisions.id, revisionId));
        if (revision === undefined) return [];
        const there = tx
          .select({ host: evaluations.host })
          .from(evaluations)
          .where(
            and(
              eq(evaluations.revisionId, revisionId),
              eq(evaluations.host, hosts.host),
              or(isNull(evaluations.outcome), ne(evaluations.outcome, 'REMOVED')),
            ),
          );
        // A newer revision may have added hosts that this one does not know; it decides about them.
        const newer = tx
          .select({ id: revisions.id })
          .from(revisions)
          .where(and(eq(revisions.repositoryId, repositoryId), gt(revisions.sequence, revision.sequence)));
        const rows = await tx
          .select({ host: hosts.host })
          .from(hosts)
          .where(and(eq(hosts.repositoryId, repositoryId), isNull(hosts.publicKey), notExists(there), notExists(newer)))
          .for('update');
        const names = rows.map(({ host }) => host);
        await removeHosts(tx, names);
        return names;
      }),
  };
}
