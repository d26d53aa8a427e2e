import { eq } from 'drizzle-orm';
import type { HostName } from '@floe/model';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import type { HostRow } from './records.ts';
import { readDetail, readObserved, readTimings, withoutNulls } from './rows.ts';
import { hosts } from './tables/index.ts';

/** A row of the table `hosts`, as Drizzle gives it. */
export type StoredHost = typeof hosts.$inferSelect;

/** A host as the rest of Floe knows it. */
export function toHostRow(row: StoredHost): HostRow {
  const {
    desiredReleaseId,
    desiredToplevel,
    desiredSequence,
    desiredSince,
    stateSeq: _seq,
    reportSeries: _series,
    observed,
    detail,
    timings,
    refusedCount,
    refusedAt,
    refusedWhy,
    ...plain
  } = row;
  const hasDesired = desiredReleaseId !== null && desiredToplevel !== null && desiredSequence !== null;
  return {
    ...withoutNulls(plain),
    desired: hasDesired
      ? { releaseId: desiredReleaseId, toplevel: desiredToplevel, sequence: desiredSequence, epoch: row.epoch, since: desiredSince ?? 0 }
      : undefined,
    observed: readObserved(observed),
    detail: readDetail(detail),
    timings: readTimings(timings),
    refused: refusedCount === 0 ? undefined : { count: refusedCount, at: refusedAt ?? 0, why: refusedWhy ?? '' },
  };
}

/** The host's row, held until the transaction ends: what is decided from it stays true. */
export async function lockHost(tx: Database, host: HostName): Promise<StoredHost> {
  const [row] = await tx.select().from(hosts).where(eq(hosts.host, host)).for('update');
  if (row === undefined) throw missingRow('host', host);
  return row;
}
