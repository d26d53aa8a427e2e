import type { HostName, ReleaseRef, RolloutState, StorePath } from '@floe/model';
import type { Clock } from '@floe/runtime';
import { and, asc, eq, gt, isNull, or, sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify, notifyHosts } from './hints.ts';
import type { PinKind, StoredSituation } from './records.ts';
import { releasesAsOf } from './release-rows.ts';
import { newestRollout } from './rollouts.ts';
import { HostNameText, Int8, isOneOf, readRows } from './rows.ts';
import type { HostStore } from './store.ts';
import { hosts, pins, quarantines, releases, revisions, rollouts } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

/** Every host is in the one ring, which is promoted as soon as the rollout rolls. */
const PROMOTED: ReadonlySet<RolloutState> = new Set(['ROLLING', 'SOAKING', 'COMPLETE']);

type Hosts = readonly HostName[] | undefined;

async function pinned(db: Database, repositoryId: string, names: Hosts, now: number): Promise<ReadonlyMap<string, ReleaseRef>> {
  const rows = await db
    .select({ kind: pins.kind, id: releases.id, host: pins.host, sequence: releases.sequence, toplevel: releases.toplevel })
    .from(pins)
    .innerJoin(hosts, eq(hosts.host, pins.host))
    .innerJoin(releases, eq(releases.id, pins.releaseId))
    .where(
      and(
        eq(hosts.repositoryId, repositoryId),
        or(isNull(pins.expiresAt), gt(pins.expiresAt, now)),
        isReadableCounter(releases.sequence),
        names === undefined ? undefined : isOneOf(pins.host, names),
      ),
    );
  return new Map(rows.map(({ kind, ...release }) => [keyOf(release.host, kind), release]));
}

function keyOf(host: HostName, kind: PinKind): string {
  return `${kind} ${host}`;
}

async function quarantined(db: Database, repositoryId: string, names: Hosts): Promise<ReadonlyMap<HostName, ReadonlySet<StorePath>>> {
  const rows = await db
    .select({ host: quarantines.host, toplevel: quarantines.toplevel })
    .from(quarantines)
    .innerJoin(hosts, eq(hosts.host, quarantines.host))
    .where(and(eq(hosts.repositoryId, repositoryId), names === undefined ? undefined : isOneOf(quarantines.host, names)));
  const sets = new Map<HostName, Set<StorePath>>();
  for (const { host, toplevel } of rows) sets.set(host, (sets.get(host) ?? new Set()).add(toplevel));
  return sets;
}

/** Reads without a transaction: a situation that is torn by a write is put right by the hint of that write. */
export async function situation(db: Database, repositoryId: string, names: Hosts, now: number): Promise<StoredSituation[]> {
  const ofRepository = eq(revisions.repositoryId, repositoryId);
  const current = await newestRollout(db, ofRepository);
  const completed = current?.state === 'COMPLETE' ? current : await newestRollout(db, and(ofRepository, eq(rollouts.state, 'COMPLETE')));
  const stableSequence = completed?.sequence ?? 0;
  const stable = refsByHost(await releasesAsOf(db, repositoryId, stableSequence, names));
  const isSame = current === undefined || current.sequence === stableSequence;
  const rolling = isSame ? stable : refsByHost(await releasesAsOf(db, repositoryId, current.sequence, names));
  const pinnedTo = await pinned(db, repositoryId, names, now);
  const putBack = await quarantined(db, repositoryId, names);
  const rows = await db
    .select({ host: hosts.host })
    .from(hosts)
    .where(and(eq(hosts.repositoryId, repositoryId), names === undefined ? undefined : isOneOf(hosts.host, names)))
    .orderBy(asc(hosts.host));
  return rows.map(({ host }) => ({
    host,
    pin: pinnedTo.get(keyOf(host, 'pin')),
    hold: pinnedTo.get(keyOf(host, 'hold')),
    isRingPromoted: current !== undefined && PROMOTED.has(current.state),
    rollout: current === undefined ? undefined : rolling.get(host),
    stable: stable.get(host),
    quarantined: putBack.get(host) ?? new Set(),
  }));
}

function refsByHost(rows: readonly ReleaseRef[]): ReadonlyMap<HostName, ReleaseRef> {
  return new Map(rows.map(({ id, host, sequence, toplevel }) => [host, { id, host, sequence, toplevel }]));
}

const Desired = v.object({ host: HostNameText, epoch: Int8 });

/** One statement for all: of two servers that desire the same release at once only one takes an epoch for it. */
async function desire(db: Database, wanted: readonly ReleaseRef[], at: number): ReturnType<HostStore['desire']> {
  if (wanted.length === 0) return [];
  const rows = JSON.stringify(wanted.map(({ host, id, toplevel, sequence }) => ({ host, id, toplevel, sequence })));
  return await db.transaction(async (tx) => {
    const moved = await tx.execute(sql`
      update hosts h set
        desired_release_id = w.id, desired_toplevel = w.toplevel, desired_sequence = w.sequence, desired_since = ${at}::bigint, epoch = h.epoch + 1
      from jsonb_to_recordset(${rows}::text::jsonb) as w (host text, id text, toplevel text, sequence bigint)
      where h.host = w.host and h.desired_release_id is distinct from w.id
      returning h.host, h.epoch`);
    const desired = readRows(Desired, moved);
    await notifyHosts(
      tx,
      desired.map(({ host }) => host),
    );
    return desired;
  });
}

/**
 * In one transaction: a pass that sees the quarantine gone sees the mark too, or it would offer the system without it,
 * and the agent, which keeps a quarantine of its own, would pass it over.
 */
async function retry(db: Database, host: HostName, toplevel: StorePath): Promise<number> {
  return await db.transaction(async (tx) => {
    await tx.delete(quarantines).where(and(eq(quarantines.host, host), eq(quarantines.toplevel, toplevel)));
    const [row] = await tx
      .update(hosts)
      .set({ epoch: sql`${hosts.epoch} + 1`, retryEpoch: sql`${hosts.epoch} + 1` })
      .where(eq(hosts.host, host))
      .returning({ epoch: hosts.epoch });
    if (row === undefined) throw missingRow('host', host);
    await notify(tx, { topic: 'host', host });
    return row.epoch;
  });
}

export function createHostDesired(db: Database, clock: Clock): Pick<HostStore, 'situation' | 'desire' | 'retry'> {
  return {
    situation: async (repositoryId, names) => await situation(db, repositoryId, names, clock.now()),
    desire: async (wanted, at) => await desire(db, wanted, at),
    retry: async (host, toplevel) => await retry(db, host, toplevel),
  };
}
