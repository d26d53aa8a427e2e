import { sql, type SQL } from 'drizzle-orm';
import { AGENT_STATES, boundedTime, HOST_NAME_FORM, NOTHING_OBSERVED, storableText, type StorePath, type Went } from '@floe/model';
import type { Database } from './database.ts';
import { readCapabilities, readObserved, readTimings } from './host-columns.ts';
import type { HostRow } from './records.ts';
import { RowReader } from './row-reader.ts';
import { DetailColumn, PermitColumn } from './rows.ts';
import { hosts } from './tables/index.ts';

/** A row of the table `hosts`, as Drizzle gives it. */
export type StoredHost = typeof hosts.$inferSelect;

/** Converts a row to a host. A row with unreadable columns names them, and its host gets no directive. */
export function toHostRow(row: StoredHost): HostRow {
  const reader = new RowReader();
  const epoch = reader.counter('epoch', row.epoch);
  const toplevel = reader.path('desired_toplevel', row.desiredToplevel);
  const sequence = reader.counterOrNone('desired_sequence', row.desiredSequence);
  const since = reader.timeOrNone('desired_since', row.desiredSince) ?? 0;
  const permit = reader.json('desired_permit', row.desiredPermit, PermitColumn);
  const read = {
    host: row.host,
    repositoryId: row.repositoryId,
    machineId: reader.word('machine_id', row.machineId),
    publicKey: row.publicKey ?? undefined,
    enrolledAt: reader.timeOrNone('enrolled_at', row.enrolledAt),
    revokedAt: reader.timeOrNone('revoked_at', row.revokedAt),
    clonedAt: reader.timeOrNone('cloned_at', row.clonedAt),
    stableBy: row.stableBy ?? undefined,
    epoch,
    toldSequence: reader.counter('told_sequence', row.toldSequence),
    capabilities: reader.column('capabilities', row.capabilities, readCapabilities),
    acceptedSequence: reader.counter('accepted_sequence', row.acceptedSequence),
    retryEpoch: reader.counterOrNone('retry_epoch', row.retryEpoch),
    went: toWent(reader.path('went_toplevel', row.wentToplevel), reader.timeOrNone('went_until', row.wentUntil), row.wentEpoch),
    observed: reader.column('observed', row.observed, readObserved) ?? NOTHING_OBSERVED,
    state: reader.one('state', row.state, AGENT_STATES, 'IDLE'),
    stateToplevel: reader.path('state_toplevel', row.stateToplevel),
    stateSince: reader.timeOrNone('state_since', row.stateSince),
    detail: reader.json('detail', row.detail, DetailColumn),
    timings: reader.column('timings', row.timings, readTimings),
    isConnected: row.isConnected,
    sessionId: row.sessionId ?? undefined,
    bootId: row.bootId ?? undefined,
    lastSeenAt: reader.timeOrNone('last_seen_at', row.lastSeenAt),
    agentVersion: reader.word('agent_version', row.agentVersion),
    system: reader.word('system', row.system),
    reportSeq: reader.counter('report_seq', row.reportSeq),
    refused: toRefusal(row),
  };
  reader.counter('report_series', row.reportSeries);
  reader.counter('state_seq', row.stateSeq);
  const releaseId = row.desiredReleaseId;
  const hasDesired = releaseId !== null && toplevel !== undefined && sequence !== undefined && reader.problem === undefined;
  return {
    ...read,
    desired: hasDesired ? { releaseId, toplevel, sequence, epoch, since, isOnlyStaged: row.desiredMode === 'stage', permit } : undefined,
    unreadable: reader.problem,
  };
}

function toWent(toplevel: StorePath | undefined, until: number | undefined, epoch: number | null): Went | undefined {
  return toplevel === undefined || until === undefined ? undefined : { toplevel, until, ...(epoch !== null && { epoch }) };
}

function toRefusal({ refusedCount, refusedAt, refusedWhy }: StoredHost): HostRow['refused'] {
  return refusedCount <= 0 ? undefined : { count: refusedCount, at: boundedTime(refusedAt ?? 0), why: storableText(refusedWhy ?? '') };
}

/** Skips rows whose name is not a valid host name, and reports all of them to `onLeftOut`. */
export function toHostRows(rows: readonly StoredHost[], onLeftOut: (names: readonly string[]) => void): HostRow[] {
  const hasName = ({ host }: StoredHost): boolean => HOST_NAME_FORM.test(host);
  onLeftOut(rows.filter((row) => !hasName(row)).map(({ host }) => JSON.stringify(storableText(host, 60))));
  return rows.filter(hasName).map(toHostRow);
}

/**
 * Locks these hosts in the order of their names, until the transaction ends. Whoever writes many hosts does this first: in another order two could
 * each wait for a row that the other has. Counted, so that no row of thousands comes back.
 */
export async function lockHosts(tx: Database, which: SQL | undefined): Promise<void> {
  await tx.execute(sql`select count(*) from (${lockedHosts(which)}) as locked`);
}

/**
 * As {@link lockHosts}, with their names, for a statement that locks and writes: it joins what it writes with these rows, and so writes none
 * that it has not locked before. It is to ask of each host's own row alone: only that is read again when the lock was waited for.
 * Not `for update`: that would also wait for whoever inserts something about a host.
 */
export function lockedHosts(which: SQL | undefined): SQL {
  return sql`select ${hosts.host} from ${hosts} where ${which ?? sql`true`} order by ${hosts.host} for no key update`;
}
