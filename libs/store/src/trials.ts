import { boundedTime, storableText, type HostName } from '@floe/model';
import { and, eq, isNull, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify } from './hints.ts';
import type { Trial } from './records.ts';
import { RowReader } from './row-reader.ts';
import { isOneOf } from './rows.ts';
import type { HostStore } from './store.ts';
import { hosts, trials } from './tables/index.ts';

const MAX_RESULT_CHARACTERS = 1_000;

/**
 * The trials that were not ended yet. One whose time has come counts until it is ended: only that gives the host a new epoch, by which
 * its agent hears of the fleet's release again. A row that cannot be read is no trial, and is replaced by the next.
 */
export async function readTrials(db: Database, repositoryId: string, names: readonly HostName[] | undefined): Promise<ReadonlyMap<HostName, Trial>> {
  const rows = await db
    .select({ trial: trials })
    .from(trials)
    .innerJoin(hosts, eq(hosts.host, trials.host))
    .where(and(eq(hosts.repositoryId, repositoryId), isNull(trials.endedAt), names === undefined ? undefined : isOneOf(trials.host, names)));
  return new Map(rows.flatMap(({ trial }) => toTrial(trial)).map((trial) => [trial.host, trial]));
}

function toTrial(row: typeof trials.$inferSelect): Trial[] {
  const reader = new RowReader();
  const trial = {
    id: row.id,
    host: row.host,
    sequence: reader.counter('sequence', row.sequence),
    toplevel: reader.path('toplevel', row.toplevel),
    commit: reader.commit('commit', row.commit),
    envelope: row.envelope,
    by: storableText(row.by, 200),
    reason: storableText(row.reason, 2_000),
    at: boundedTime(row.at),
    endsAt: reader.time('ends_at', row.endsAt),
    epoch: reader.counter('epoch', row.epoch),
  };
  const { toplevel, commit } = trial;
  return reader.problem === undefined && toplevel !== undefined && commit !== undefined ? [{ ...trial, toplevel, commit }] : [];
}

/** The epoch is new, so that the agent takes the trial for what it is: another directive. */
async function begin(db: Database, trial: Omit<Trial, 'id' | 'epoch'>): Promise<void> {
  const { host, reason, ...rest } = trial;
  await db.transaction(async (tx) => {
    const [row] = await tx
      .update(hosts)
      .set({ epoch: sql`${hosts.epoch} + 1` })
      .where(eq(hosts.host, host))
      .returning({ epoch: hosts.epoch });
    if (row === undefined) throw missingRow('host', host);
    const set = { ...rest, reason: storableText(reason, 2_000), epoch: row.epoch, id: sql`gen_random_uuid()::text`, endedAt: null, result: null };
    await tx
      .insert(trials)
      .values({ host, ...set })
      .onConflictDoUpdate({ target: trials.host, set });
    await notify(tx, { topic: 'host', host });
  });
}

/** Of two who end it at once, one succeeds. The host gets what the fleet has under a new epoch, and nothing of the trial counts any more. */
async function end(db: Database, { host, id }: Pick<Trial, 'host' | 'id'>, result: string, at: number): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const [ended] = await tx
      .update(trials)
      .set({ endedAt: at, result: storableText(result, MAX_RESULT_CHARACTERS) })
      .where(and(eq(trials.host, host), eq(trials.id, id), isNull(trials.endedAt)))
      .returning({ toplevel: trials.toplevel });
    if (ended === undefined) return false;
    const isOfTrial = sql`${hosts.wentToplevel} = ${ended.toplevel}`;
    await tx
      .update(hosts)
      .set({
        epoch: sql`${hosts.epoch} + 1`,
        wentToplevel: sql`case when ${isOfTrial} then null else ${hosts.wentToplevel} end`,
        wentUntil: sql`case when ${isOfTrial} then null else ${hosts.wentUntil} end`,
      })
      .where(eq(hosts.host, host));
    await notify(tx, { topic: 'host', host });
    return true;
  });
}

export function createTrialStore(db: Database): Pick<HostStore, 'beginTrial' | 'endTrial'> {
  return {
    beginTrial: async (trial) => await begin(db, trial),
    endTrial: async (trial, result, at) => await end(db, trial, result, at),
  };
}
