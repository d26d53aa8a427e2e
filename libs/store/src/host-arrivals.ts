import { stateAfterTrial, type HostName, type StorePath, type TrialOfReports } from '@floe/model';
import { isFloeError } from '@floe/runtime';
import { asc, getTableColumns, sql, type SQL } from 'drizzle-orm';
import type { Database } from './database.ts';
import { missingRow, translateError } from './errors.ts';
import { Gathered } from './gathered.ts';
import { notifyHosts, type HintOrigin } from './hints.ts';
import { handedBefore } from './host-handed.ts';
import { toHostRow, type StoredHost } from './host-rows.ts';
import type { HostPresence, HostRow } from './records.ts';
import { isOneOf } from './rows.ts';
import { hosts, trials } from './tables/index.ts';

// Hosts that say hello. After a restart of the server all come within seconds, and share transactions.

/** A transaction of as many takes a tenth of a second: so long reports of these hosts wait for it. */
const MOST = 250;
/** Two, so that one is put together while the other is stored, and the other connections are for reports. */
const AT_ONCE = 2;

/**
 * The epoch to go on from. An agent that accepted a higher one, or this one for something else, was told by a database
 * that is gone: the desired release then gets an epoch that the agent has never seen, or it would take the directive
 * for one that it knows.
 */
function epochAfter(row: StoredHost, presence: HostPresence, tried: StorePath | undefined): number {
  const isAhead = presence.epoch > row.epoch;
  const told = tried ?? row.desiredToplevel;
  const isOther = presence.epoch === row.epoch && told !== null && presence.stateToplevel !== told;
  return isAhead || isOther ? presence.epoch + 1 : row.epoch;
}

/** A host, and what its hello says. */
interface Arrival {
  readonly host: HostName;
  readonly presence: HostPresence;
}

type Changes = Partial<StoredHost>;

/** What a hello changes of its host's row, which is locked. */
async function changesBy(tx: Database, row: StoredHost, presence: HostPresence, trial: TrialOfReports | undefined): Promise<Changes> {
  const handed = await handedBefore(tx, row, presence);
  const stateToplevel = presence.stateToplevel ?? null;
  const said = { state: presence.state, subject: presence.stateToplevel, epoch: presence.epoch };
  const state = stateAfterTrial(said, { trial, epoch: row.epoch });
  const tried = trial?.isOpen === true ? trial.toplevel : undefined;
  const isSameState = row.state === state && row.stateToplevel === stateToplevel;
  // Fewer reports than are stored: the agent's disk was restored to an older day, and its numbers come again.
  const isNewSeries = presence.reportSeq < row.reportSeq;
  return {
    isConnected: true,
    sessionId: presence.sessionId,
    bootId: presence.bootId,
    machineId: row.machineId ?? presence.machineId,
    agentVersion: presence.agentVersion,
    capabilities: presence.capabilities ?? [],
    system: presence.system,
    lastSeenAt: presence.at,
    observed: presence.observed,
    ...handed,
    epoch: epochAfter({ ...row, ...handed }, presence, tried),
    acceptedSequence: presence.sequence,
    ...(row.retryEpoch !== null && presence.epoch >= row.retryEpoch ? { retryEpoch: null } : {}),
    ...(isSameState ? {} : { state, stateToplevel, stateSince: presence.at, detail: null, timings: null }),
    // Reports up to here are no newer than this hello. The last of them has the detail of this very state.
    stateSeq: presence.reportSeq,
    ...(isNewSeries ? { reportSeries: row.reportSeries + 1, reportSeq: 0 } : {}),
  };
}

/** Every column that a hello may change. */
const CHANGED = [
  'isConnected',
  'sessionId',
  'bootId',
  'machineId',
  'agentVersion',
  'capabilities',
  'system',
  'lastSeenAt',
  'observed',
  'toldSequence',
  'desiredReleaseId',
  'desiredToplevel',
  'desiredSequence',
  'desiredSince',
  'desiredMode',
  'desiredPermit',
  'epoch',
  'acceptedSequence',
  'retryEpoch',
  'state',
  'stateToplevel',
  'stateSince',
  'detail',
  'timings',
  'stateSeq',
  'reportSeries',
  'reportSeq',
] as const satisfies readonly (keyof StoredHost)[];

/** One statement for all, with what each row has then: they are locked. */
async function write(tx: Database, rows: readonly StoredHost[]): Promise<void> {
  const columns = getTableColumns(hosts);
  const list = (each: (name: SQL, type: SQL) => SQL): SQL =>
    sql.join(
      CHANGED.map((key) => each(sql`${sql.identifier(columns[key].name)}`, sql.raw(columns[key].getSQLType()))),
      sql`, `,
    );
  const values = rows.map((row) => Object.fromEntries([['host', row.host], ...CHANGED.map((key) => [columns[key].name, row[key]])]));
  await tx.execute(sql`
    update ${hosts} h set ${list((name) => sql`${name} = w.${name}`)}
    from jsonb_to_recordset(${JSON.stringify(values)}::text::jsonb) as w (host text, ${list((name, type) => sql`${name} ${type}`)})
    where h.host = w.host`);
}

/**
 * In one transaction, with the rows locked in the order of names, as everybody does who locks many: of two batches none waits for the other's
 * rows while that waits for its own.
 */
async function connectAll(db: Database, origin: HintOrigin, arrivals: readonly Arrival[]): Promise<readonly (HostRow | 'missing')[]> {
  const names = arrivals.map(({ host }) => host);
  return await db.transaction(async (tx) => {
    const locked = await tx.select().from(hosts).where(isOneOf(hosts.host, names)).orderBy(asc(hosts.host)).for('no key update');
    const known = await tx
      .select({ host: trials.host, toplevel: trials.toplevel, epoch: trials.epoch, isOpen: sql<boolean>`${trials.endedAt} is null` })
      .from(trials)
      .where(isOneOf(trials.host, names));
    const trialOf = new Map(known.map((trial) => [trial.host, trial]));
    const rows = new Map(locked.map((row) => [row.host, row]));
    const answers: (HostRow | 'missing')[] = [];
    for (const { host, presence } of arrivals) {
      const before = rows.get(host);
      if (before === undefined) {
        answers.push('missing');
        continue;
      }
      const row = { ...before, ...(await changesBy(tx, before, presence, trialOf.get(host))) };
      rows.set(host, row);
      answers.push(toHostRow(row));
    }
    await write(tx, [...rows.values()]);
    await notifyHosts(tx, [...rows.keys()], origin);
    return answers;
  });
}

/** Stores those who come at the same time together. */
export function gatherArrivals(db: Database, origin: HintOrigin): (host: HostName, presence: HostPresence) => Promise<HostRow> {
  const gathered = new Gathered<Arrival, HostRow | 'missing'>({
    run: async (arrivals) => await connectAll(db, origin, arrivals),
    most: MOST,
    atOnce: AT_ONCE,
    isOfAll: (error) => {
      const translated = translateError(error, false);
      return isFloeError(translated) && translated.retryable;
    },
  });
  return async (host, presence) => {
    const row = await gathered.ask({ host, presence });
    if (row === 'missing') throw missingRow('host', host);
    return row;
  };
}
