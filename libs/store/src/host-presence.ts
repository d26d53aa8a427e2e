import { and, eq, sql, type SQL } from 'drizzle-orm';
import type { HostName } from '@floe/model';
import type { Database } from './database.ts';
import { notify, notifyHosts, type HintOrigin } from './hints.ts';
import { gatherArrivals } from './host-arrivals.ts';
import { lockHosts } from './host-rows.ts';
import { readAsText } from './rows-as-text.ts';
import type { HostStore } from './store.ts';
import { hosts, serverLeases } from './tables/index.ts';

/** Only for the session that is the current one: a socket that dies late must not end its successor's presence. */
async function disconnect(db: Database, origin: HintOrigin, host: HostName, sessionId: string, at: number): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const gone = await tx
      .update(hosts)
      .set({ isConnected: false, lastSeenAt: at })
      .where(and(eq(hosts.host, host), eq(hosts.sessionId, sessionId), eq(hosts.isConnected, true)))
      .returning({ host: hosts.host });
    if (gone.length > 0) await notify(tx, { topic: 'host', host, origin });
    return gone.length > 0;
  });
}

async function disconnectAll(db: Database, sessionIdPrefix: string | undefined, at: number): Promise<number> {
  const isOfPrefix = sessionIdPrefix === undefined ? undefined : sql`starts_with(${hosts.sessionId}, ${sessionIdPrefix})`;
  return await db.transaction(async (tx) => await disconnectThose(tx, and(eq(hosts.isConnected, true), isOfPrefix), at));
}

async function disconnectThose(tx: Database, which: SQL | undefined, at: number): Promise<number> {
  await lockHosts(tx, which);
  const gone = await tx.update(hosts).set({ isConnected: false, lastSeenAt: at }).where(which).returning({ host: hosts.host });
  await notifyHosts(
    tx,
    gone.map(({ host }) => host),
  );
  return gone.length;
}

/**
 * What the server knows by its socket, after something else said that the host is away. Not over the session of another
 * server that is there as well: the newer one of two is the one that is stored.
 */
async function reconnect(db: Database, origin: HintOrigin, host: HostName, sessionId: string, at: number): Promise<boolean> {
  return await db.transaction(async (tx) => {
    const back = await tx
      .update(hosts)
      .set({ isConnected: true, sessionId, lastSeenAt: at })
      .where(and(eq(hosts.host, host), eq(hosts.isConnected, false)))
      .returning({ host: hosts.host });
    if (back.length > 0) await notify(tx, { topic: 'host', host, origin });
    return back.length > 0;
  });
}

/** The database's clock decides: the servers' own may differ, and may jump. */
const databaseNow = sql`(extract(epoch from clock_timestamp()) * 1000)::bigint`;

async function renewLease(db: Database, serverId: string, lifetimeMs: number): Promise<void> {
  const expiresAt = sql`${databaseNow} + ${lifetimeMs}`;
  await db.insert(serverLeases).values({ serverId, expiresAt }).onConflictDoUpdate({ target: serverLeases.serverId, set: { expiresAt } });
}

/** The leases first: a server that renews its own meanwhile keeps its hosts. */
async function expirePresence(db: Database, ownServerId: string, at: number): Promise<number> {
  return await db.transaction(async (tx) => {
    // One for longer than anybody asks for is none: the database's clock was set, or the row is not as we wrote it.
    await tx.delete(serverLeases).where(sql`${serverLeases.expiresAt} not between ${databaseNow} and ${databaseNow} + 3600000`);
    const server = sql`split_part(${hosts.sessionId}, '/', 1)`;
    const hasLease = sql`exists (select 1 from ${serverLeases} where ${serverLeases.serverId} = ${server})`;
    return await disconnectThose(tx, and(eq(hosts.isConnected, true), sql`${server} <> ${ownServerId}`, sql`not ${hasLease}`), at);
  });
}

type Presence = Pick<HostStore, 'connect' | 'disconnect' | 'disconnectAll' | 'present' | 'reconnect' | 'renewLease' | 'expirePresence'>;

export function createHostPresence(db: Database, origin: HintOrigin): Presence {
  const connect = gatherArrivals(db, origin);
  return {
    connect: async (host, presence) => await connect(host, presence),
    disconnect: async (host, sessionId, at) => await disconnect(db, origin, host, sessionId, at),
    disconnectAll: async (sessionIdPrefix, at) => await disconnectAll(db, sessionIdPrefix, at),
    async present(serverId) {
      const rows = await readAsText(db, { host: hosts.host, sessionId: hosts.sessionId }, (selected) =>
        selected.from(hosts).where(and(eq(hosts.isConnected, true), sql`starts_with(${hosts.sessionId}, ${`${serverId}/`})`)),
      );
      return rows.map(({ host, sessionId }) => ({ host, sessionId: sessionId ?? '' }));
    },
    reconnect: async (host, sessionId, at) => await reconnect(db, origin, host, sessionId, at),
    renewLease: async (serverId, lifetimeMs) => await renewLease(db, serverId, lifetimeMs),
    expirePresence: async (ownServerId, at) => await expirePresence(db, ownServerId, at),
  };
}
