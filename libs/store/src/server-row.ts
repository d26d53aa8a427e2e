import { boundedTime, MAX_TIME_MS } from '@floe/model';
import { and, eq, sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import type { Timestamp } from './records.ts';
import { Int8, readRows } from './rows.ts';
import type { ClaimedServer, ServerClaim, ServerStore } from './server-contract.ts';
import { server } from './tables/index.ts';
import { readableCounter } from './unreadable.ts';

/** The table has one row. */
const ONLY = eq(server.id, 1);
const Beaten = v.object({ clock_high: Int8, database_now: Int8 });

/**
 * Claims the database for one process. The row is locked meanwhile: of two servers that start at the same time the second sees
 * the first. Whether another process that has it is alive is decided by its beats and not by time, because clocks jump: the
 * caller waits, and passes the beats that it saw.
 */
async function claim(db: Database, wanted: ServerClaim): Promise<ClaimedServer> {
  const { releaseKey, serverKey, place, process, description, now, deadBeats, mayReplaceKeys } = wanted;
  return await db.transaction(async (tx) => {
    await tx.insert(server).values({ releaseKey, serverKey, clockHigh: now }).onConflictDoNothing();
    const [row] = await tx.select().from(server).where(ONLY).for('update');
    if (row === undefined) throw new Error('the row of the server is gone');
    if (row.releaseKey !== releaseKey && row.serverKey !== serverKey && !mayReplaceKeys)
      return { kind: 'foreign', releaseKey: row.releaseKey, serverKey: row.serverKey };
    const isSameFolder = row.place === place;
    if (row.process !== null && row.process !== process && !isSameFolder && row.beats !== deadBeats)
      return { kind: 'held', beats: row.beats, description: row.description ?? 'another floe-server' };
    await tx
      .update(server)
      .set({ releaseKey, serverKey, place, process, description, beats: sql`${readableCounter(server.beats)} + 1` })
      .where(ONLY);
    const changed = [...(row.releaseKey === releaseKey ? [] : ['release']), ...(row.serverKey === serverKey ? [] : ['server'])];
    return { kind: 'claimed', clockHigh: boundedTime(row.clockHigh), changedKeys: changed };
  });
}

/** One statement: the beat, the highest recorded time, and the time of the database's own clock. */
async function beat(db: Database, process: string, clockHigh: Timestamp): Promise<Awaited<ReturnType<ServerStore['beat']>>> {
  const rows = await db.execute(sql`
    update server set beats = ${readableCounter(server.beats)} + 1, clock_high = least(greatest(clock_high, ${clockHigh}::bigint), ${MAX_TIME_MS}::bigint)
    where id = 1 and process = ${process}
    returning clock_high, (extract(epoch from clock_timestamp()) * 1000)::bigint as database_now`);
  const [row] = readRows(Beaten, rows);
  return row === undefined ? undefined : { clockHigh: row.clock_high, databaseNow: row.database_now };
}

export function createServerStore(db: Database): Omit<ServerStore, 'tidy'> {
  return {
    async keys() {
      const [row] = await db.select({ releaseKey: server.releaseKey, serverKey: server.serverKey }).from(server).where(ONLY);
      return row;
    },
    claim: async (wanted) => await claim(db, wanted),
    beat: async (process, clockHigh) => await beat(db, process, clockHigh),
    async leave(process) {
      await db
        .update(server)
        .set({ place: null, process: null, description: null })
        .where(and(ONLY, eq(server.process, process)));
    },
    async setClockHigh(clockHigh) {
      await db.update(server).set({ clockHigh }).where(ONLY);
    },
    async probe() {
      await db.execute(sql`update server set beats = beats where id = 1`);
    },
  };
}
