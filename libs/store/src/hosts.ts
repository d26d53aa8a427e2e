import type { HostName } from '@floe/model';
import type { Clock } from '@floe/runtime';
import { and, asc, eq, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { notify, notifyHosts, type HintOrigin } from './hints.ts';
import { createHostDesired } from './host-desired.ts';
import { createHostForgetting } from './host-forgetting.ts';
import { createHostMarks } from './host-marks.ts';
import { createHostRenames } from './host-renames.ts';
import { createHostPresence } from './host-presence.ts';
import { toHostRow, toHostRows } from './host-rows.ts';
import { readableCounter, type LeftOutRows } from './unreadable.ts';
import { createQuarantineOrders } from './quarantine-orders.ts';
import type { HostRow } from './records.ts';
import { isOneOf } from './rows.ts';
import type { HostStore } from './store.ts';
import { hosts } from './tables/index.ts';
import { createTrialStore } from './trials.ts';

/** Rows per insert: Postgres takes 65,535 parameters in one statement, and a row has 2. */
const ROWS_PER_INSERT = 10_000;

async function ensure(db: Database, repositoryId: string, names: readonly HostName[]): Promise<void> {
  await db.transaction(async (tx) => {
    const added: HostName[] = [];
    for (let start = 0; start < names.length; start += ROWS_PER_INSERT) {
      const values = names.slice(start, start + ROWS_PER_INSERT).map((host) => ({ host, repositoryId }));
      const rows = await tx.insert(hosts).values(values).onConflictDoNothing().returning({ host: hosts.host });
      added.push(...rows.map(({ host }) => host));
    }
    await notifyHosts(tx, added);
  });
}

/** The previous agent's reported state is forgotten: the next hello reports the state of the machine. The epoch continues. */
async function enrol(db: Database, clock: Clock, enrolment: Parameters<HostStore['enrol']>[0]): Promise<HostRow> {
  const { host, repositoryId, machineId, publicKey, at, isRestored = false } = enrolment;
  const fresh = {
    machineId,
    publicKey,
    enrolledAt: at,
    revokedAt: null,
    clonedAt: null,
    retryEpoch: null,
    acceptedSequence: 0,
    observed: null,
    state: 'IDLE',
    stateToplevel: null,
    stateSince: null,
    stateSeq: 0,
    detail: null,
    timings: null,
    isConnected: false,
    sessionId: null,
    bootId: null,
    reportSeq: 0,
    refusedCount: 0,
    refusedAt: null,
    refusedWhy: null,
    ...(isRestored ? { lastSeenAt: clock.now() } : {}),
  } as const;
  // An administrator shut it out, and lets another one in under its name.
  const newAfterRevocation = {
    lastRing: sql`case when ${hosts.revokedAt} is null then ${hosts.lastRing} end`,
    lastTimeZone: sql`case when ${hosts.revokedAt} is null then ${hosts.lastTimeZone} end`,
    lastLabels: sql`case when ${hosts.revokedAt} is null then ${hosts.lastLabels} end`,
  };
  return await db.transaction(async (tx) => {
    const [row] = await tx
      .insert(hosts)
      .values({ host, repositoryId, ...fresh })
      .onConflictDoUpdate({
        target: hosts.host,
        set: { ...fresh, ...newAfterRevocation, epoch: readableCounter(hosts.epoch), reportSeries: sql`${readableCounter(hosts.reportSeries)} + 1` },
      })
      .returning();
    if (row === undefined) throw missingRow('host', host);
    await notify(tx, { topic: 'host', host });
    return toHostRow(row);
  });
}

export interface HostStoreDeps {
  readonly clock: Clock;
  readonly leftOut: LeftOutRows;
  readonly origin: HintOrigin;
}

export function createHostStore(db: Database, deps: HostStoreDeps): HostStore {
  const { clock, leftOut, origin } = deps;
  async function mark(host: HostName, set: Partial<typeof hosts.$inferInsert>): Promise<void> {
    await db.transaction(async (tx) => {
      const marked = await tx.update(hosts).set(set).where(eq(hosts.host, host)).returning({ host: hosts.host });
      if (marked.length === 0) throw missingRow('host', host);
      await notify(tx, { topic: 'host', host });
    });
  }
  // Asked for each hello: to put its text together costs more than to send it.
  const byName = db
    .select()
    .from(hosts)
    .where(eq(hosts.host, sql.placeholder('host')))
    .prepare('host_by_name');
  return {
    ensure: async (repositoryId, names) => await ensure(db, repositoryId, names),
    async get(host) {
      const [row] = await byName.execute({ host });
      return row === undefined ? undefined : toHostRow(row);
    },
    async list(repositoryId, names) {
      const named = names === undefined ? undefined : isOneOf(hosts.host, names);
      const rows = await db
        .select()
        .from(hosts)
        .where(and(eq(hosts.repositoryId, repositoryId), named))
        .orderBy(asc(hosts.host));
      return toHostRows(rows, (bad) => (names === undefined ? leftOut.set('hosts', bad) : undefined));
    },
    enrol: async (enrolment) => await enrol(db, clock, enrolment),
    revoke: async (host, at) => await mark(host, { revokedAt: at }),
    markCloned: async (host, at) => await mark(host, { clonedAt: at }),
    clearCloned: async (host) => await mark(host, { clonedAt: null }),
    ...createHostForgetting(db),
    ...createHostRenames(db),
    ...createHostPresence(db, origin),
    ...createHostDesired(db, deps),
    ...createHostMarks(db),
    ...createQuarantineOrders(db),
    ...createTrialStore(db),
  };
}
