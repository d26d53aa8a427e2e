import { storableText, type HostName, type ReleaseRef, type StorePath } from '@floe/model';
import type { Clock } from '@floe/runtime';
import { and, eq, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { readFleet } from './fleet.ts';
import { hintsOf, notify, notifying, type HintOrigin } from './hints.ts';
import { lockedHosts } from './host-rows.ts';
import { KeptFleets } from './kept-fleets.ts';
import { takeSlot } from './host-slots.ts';
import { asOneText, isOneOf, readNumbers } from './rows.ts';
import type { Deploy, DesiredRelease } from './records.ts';
import type { HostStore } from './store.ts';
import { acknowledgements, deploys, hosts, quarantines } from './tables/index.ts';
import type { LeftOutRows } from './unreadable.ts';

/**
 * One statement for all hosts: of two servers that store the same release at the same time, only one takes a new epoch. Where some host moved,
 * the hint names all of them.
 */
async function desire(db: Database, origin: HintOrigin, wanted: readonly DesiredRelease[], at: number): ReturnType<HostStore['desire']> {
  if (wanted.length === 0) return [];
  const rows = JSON.stringify(
    wanted.map(({ host, id, toplevel, sequence, epoch, isOnlyStaged, permit }) => ({
      host,
      id,
      toplevel,
      sequence,
      epoch,
      mode: isOnlyStaged === true ? 'stage' : null,
      permit: permit === undefined ? null : { ...permit, reason: storableText(permit.reason, 2_000) },
    })),
  );
  const names = wanted.map(({ host }) => host);
  const found = await db.execute(sql`
    with locked as (${lockedHosts(isOneOf(hosts.host, names))}),
    moved as (
      update hosts h set
        desired_release_id = w.id, desired_toplevel = w.toplevel, desired_sequence = w.sequence, desired_since = ${at}::bigint, epoch = h.epoch + 1,
        desired_mode = w.mode, desired_permit = w.permit, told_sequence = greatest(h.told_sequence, h.desired_sequence, w.sequence)
      from locked
      join jsonb_to_recordset(${rows}::text::jsonb) as w (host text, id text, toplevel text, sequence bigint, epoch bigint, mode text, permit jsonb)
        on w.host = locked.host
      where h.host = locked.host and (w.epoch is null or w.epoch = h.epoch)
        and (h.desired_release_id is distinct from w.id or h.desired_mode is distinct from w.mode or (h.desired_permit is null and w.permit is not null)
          or (w.permit -> 'word' is not null and w.permit -> 'word' is distinct from h.desired_permit -> 'word'))
      returning h.host, h.epoch
    )
    select (${asOneText(sql`host`, sql`epoch`, sql`moved`)}) as rows, (select ${notifying(hintsOf(names, origin))} where exists (select from moved)) as told`);
  return [...readNumbers(found, 'epoch')].map(([host, epoch]) => ({ host, epoch }));
}

/**
 * In one transaction: a pass that sees the quarantine removed also sees the retry mark. Otherwise it would offer the system
 * without it, and the agent, which has its own quarantine, would refuse.
 */
async function retry(db: Database, host: HostName, toplevel: StorePath): Promise<number> {
  return await db.transaction(async (tx) => {
    await tx.delete(quarantines).where(and(eq(quarantines.host, host), eq(quarantines.toplevel, toplevel)));
    // Somebody saw the failure before it, not the next one.
    await tx.delete(acknowledgements).where(and(eq(acknowledgements.host, host), eq(acknowledgements.toplevel, toplevel)));
    const [row] = await tx
      .update(hosts)
      .set({ epoch: sql`${hosts.epoch} + 1`, retryEpoch: sql`${hosts.epoch} + 1`, desiredMode: null })
      .where(eq(hosts.host, host))
      .returning({ epoch: hosts.epoch });
    if (row === undefined) throw missingRow('host', host);
    await notify(tx, { topic: 'host', host });
    return row.epoch;
  });
}

/** In one transaction: a pass that sees the new epoch also sees whose word it is. */
async function deploy(
  db: Database,
  { host, level, reason, by, at, expiresAt }: Omit<Deploy, 'epoch'>,
  release: Pick<ReleaseRef, 'id'>,
): Promise<number | undefined> {
  return await db.transaction(async (tx) => {
    const [row] = await tx
      .update(hosts)
      .set({ epoch: sql`${hosts.epoch} + 1` })
      .where(and(eq(hosts.host, host), eq(hosts.desiredReleaseId, release.id)))
      .returning({ epoch: hosts.epoch });
    if (row === undefined) return undefined;
    const set = { epoch: row.epoch, level, reason: storableText(reason, 500), by, createdAt: at, expiresAt };
    await tx
      .insert(deploys)
      .values({ host, ...set })
      .onConflictDoUpdate({ target: deploys.host, set });
    await notify(tx, { topic: 'host', host });
    return row.epoch;
  });
}

export function createHostDesired(
  db: Database,
  deps: { readonly clock: Clock; readonly leftOut: LeftOutRows; readonly origin: HintOrigin },
): Pick<HostStore, 'fleet' | 'desire' | 'takeSlot' | 'retry' | 'deploy'> {
  const { clock, leftOut, origin } = deps;
  const keptFleets = new KeptFleets();
  return {
    async fleet(repositoryId, names) {
      const query = { repositoryId, now: clock.now() };
      return names === undefined ? await keptFleets.read(db, query, leftOut) : await readFleet(db, { ...query, names }, leftOut);
    },
    desire: async (wanted, at) => await desire(db, origin, wanted, at),
    takeSlot: async (repositoryId, host, judge) => await takeSlot(db, { clock, origin }, repositoryId, host, judge),
    retry: async (host, toplevel) => await retry(db, host, toplevel),
    deploy: async (order, release) => await deploy(db, order, release),
  };
}
