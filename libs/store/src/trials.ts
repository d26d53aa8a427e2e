import { boundedTime, storableText, type StorePath } from '@floe/model';
import { and, eq, isNotNull, isNull, sql } from 'drizzle-orm';
import { writeLogged } from './audit.ts';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify } from './hints.ts';
import type { AuditEntry, EndedTrial, Trial } from './records.ts';
import { RowReader } from './row-reader.ts';
import type { HostStore } from './store.ts';
import { hosts, trials } from './tables/index.ts';

const MAX_RESULT_CHARACTERS = 1_000;

/** The newest trial of a host, open or ended. */
export interface TrialOfHost {
  readonly open: Trial | undefined;
  readonly ended: EndedTrial | undefined;
}

/**
 * One whose time has come counts until it is ended: only that gives the host a new epoch, by which its agent hears of the fleet's release again.
 * A row that cannot be read is no trial, and is replaced by the next.
 */
export function toTrialOfHost(row: typeof trials.$inferSelect | undefined): TrialOfHost {
  if (row === undefined) return NO_TRIAL;
  return row.endedAt === null ? { open: toTrial(row), ended: undefined } : { open: undefined, ended: toEnded(row, row.endedAt) };
}

const NO_TRIAL: TrialOfHost = { open: undefined, ended: undefined };

function toEnded({ id, host, by, at, result, hasFailed, isEndLogged, ...row }: typeof trials.$inferSelect, endedAt: number): EndedTrial | undefined {
  const commit = new RowReader().commit('commit', row.commit);
  if (commit === undefined) return undefined;
  return {
    id: storableText(id, 64),
    host,
    commit,
    by: storableText(by, 200),
    at: boundedTime(at),
    endedAt: boundedTime(endedAt),
    result: storableText(result ?? '', MAX_RESULT_CHARACTERS),
    hasFailed,
    isEndLogged,
  };
}

function toTrial(row: typeof trials.$inferSelect): Trial | undefined {
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
  return reader.problem === undefined && toplevel !== undefined && commit !== undefined ? { ...trial, toplevel, commit } : undefined;
}

/** Nothing was built for it. */
const NO_SYSTEM = '' as StorePath;
const UNENDED = { endedAt: null, result: null, hasFailed: false, isEndLogged: false };

/** The epoch is new, so that the agent takes the trial for what it is: another directive. */
export async function beginTrial(db: Database, trial: Omit<Trial, 'id' | 'epoch'>): Promise<Trial['id']> {
  const { host, reason, ...rest } = trial;
  return await db.transaction(async (tx) => {
    const [row] = await tx
      .update(hosts)
      .set({ epoch: sql`${hosts.epoch} + 1` })
      .where(eq(hosts.host, host))
      .returning({ epoch: hosts.epoch });
    if (row === undefined) throw missingRow('host', host);
    const set = { ...rest, reason: storableText(reason, 2_000), epoch: row.epoch, id: sql`gen_random_uuid()::text`, ...UNENDED };
    const [begun] = await tx
      .insert(trials)
      .values({ host, ...set })
      .onConflictDoUpdate({ target: trials.host, set })
      .returning({ id: trials.id });
    await notify(tx, { topic: 'host', host });
    if (begun === undefined) throw missingRow('trial', host);
    return begun.id;
  });
}

/** A trial that never begins is over at once. One that is under way stays: somebody asked for that. */
export async function refuseTrial(
  db: Database,
  { host, commit, by, reason, result, endedAt: at }: Pick<EndedTrial, 'host' | 'commit' | 'by' | 'result' | 'endedAt'> & Pick<Trial, 'reason'>,
): Promise<void> {
  const never = { sequence: 0, toplevel: NO_SYSTEM, envelope: '', epoch: 0 };
  const said = { commit, by, reason: storableText(reason, 2_000), result: storableText(result, MAX_RESULT_CHARACTERS) };
  // What the trial before it was stays: its machine's last word about that may be still to come.
  const set = { ...said, at, endsAt: at, endedAt: at, hasFailed: true, isEndLogged: false, id: sql`gen_random_uuid()::text` };
  await db.transaction(async (tx) => {
    const noted = await tx
      .insert(trials)
      .values({ host, ...never, ...set })
      .onConflictDoUpdate({ target: trials.host, set, setWhere: isNotNull(trials.endedAt) })
      .returning({ host: trials.host });
    if (noted.length > 0) await notify(tx, { topic: 'host', host });
  });
}

/**
 * Of two who end it at once, one succeeds. The host gets what the fleet has under a new epoch. Its place stays: it may be changing now, or its
 * `go` is on its way. That ends with what it reports next.
 */
async function end(db: Database, { host, id }: Pick<Trial, 'host' | 'id'>, result: string, at: number, isEndLogged: boolean): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const [ended] = await tx
      .update(trials)
      .set({ endedAt: at, result: storableText(result, MAX_RESULT_CHARACTERS), isEndLogged })
      .where(and(eq(trials.host, host), eq(trials.id, id), isNull(trials.endedAt)))
      .returning({ host: trials.host });
    if (ended === undefined) return false;
    await tx
      .update(hosts)
      .set({ epoch: sql`${hosts.epoch} + 1` })
      .where(eq(hosts.host, host));
    await notify(tx, { topic: 'host', host });
    return true;
  });
}

/** Of two servers that log it at once, one does. */
async function logEnd(db: Database, { host, id }: Pick<Trial, 'host' | 'id'>, entry: AuditEntry): Promise<boolean> {
  return await writeLogged(db, async (tx, log) => {
    const marked = await tx
      .update(trials)
      .set({ isEndLogged: true })
      .where(and(eq(trials.host, host), eq(trials.id, id), eq(trials.isEndLogged, false)))
      .returning({ host: trials.host });
    if (marked.length === 0) return false;
    await log([entry]);
    return true;
  });
}

export function createTrialStore(db: Database): Pick<HostStore, 'beginTrial' | 'endTrial' | 'stopTrial' | 'logTrialEnd'> {
  return {
    beginTrial: async (trial) => await beginTrial(db, trial),
    endTrial: async (trial, result, at) => await end(db, trial, result, at, false),
    stopTrial: async (trial, result, at) => await end(db, trial, result, at, true),
    logTrialEnd: async (trial, entry) => await logEnd(db, trial, entry),
  };
}
