import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, startPostgres, type PostgresServer } from '@floe/testkit';
import { PostgresLine, type PostgresAddress } from './postgres-line.ts';
import { PostgresPool } from './postgres-pool.ts';

let server: PostgresServer;
let address: PostgresAddress;
beforeAll(async () => {
  server = await startPostgres();
  address = { url: 'postgres://floe@localhost/floe', socketFolder: new URL(server.url).searchParams.get('host') ?? undefined };
});
afterAll(async () => await server?.[Symbol.asyncDispose]());

async function pidOf(line: PostgresLine): Promise<number> {
  return await line.run(async (client) => Number((await client.unsafe('select pg_backend_pid() as pid'))[0]?.['pid']));
}
async function kill(pool: PostgresPool, pid: number): Promise<void> {
  await pool.withLine(async (line) => await line.run(async (client) => await client.unsafe(`select pg_terminate_backend(${pid})`)));
}

describe('a line', () => {
  test('that gives no answer in time is lost, with everything that is awaited on it', async () => {
    const line = await PostgresLine.open(address);
    const other = line.run(async (client) => await client.unsafe('select pg_sleep(60)'));
    const late = line.run(async (client) => await client.unsafe('select 1'), 100); // waits behind the other
    await expect(late).rejects.toMatchObject({ code: 'CONNECT_TIMEOUT' });
    await expect(other).rejects.toMatchObject({ code: 'CONNECT_TIMEOUT' });
    expect(line.isLost).toBe(true);
    await expect(line.run(async (client) => await client.unsafe('select 1'))).rejects.toMatchObject({ code: 'CONNECT_TIMEOUT' });
    await line.untilLost();
  });

  test('is not made by a server that hangs up', async () => {
    const hangsUp: Server = createServer((socket) => socket.resume().end()).listen(0, '127.0.0.1');
    await once(hangsUp, 'listening');
    const { port } = hangsUp.address() as AddressInfo;
    let calls = 0;
    hangsUp.on('connection', () => (calls += 1));
    try {
      await expect(PostgresLine.open({ url: `postgres://floe@127.0.0.1:${port}/floe`, socketFolder: undefined })).rejects.toMatchObject({
        code: 'CONNECTION_CLOSED',
      });
      expect(calls).toBe(1);
    } finally {
      hangsUp.close();
    }
  });
});

describe('a pool', () => {
  test('uses a connection again, has no more than its limit, and lets callers wait', async () => {
    const pool = new PostgresPool(address, 2);
    const bothThere = Promise.withResolvers<void>();
    let atOnce = 0;
    let most = 0;
    const pids = await Promise.all(
      Array.from(
        { length: 20 },
        async () =>
          await pool.withLine(async (line) => {
            most = Math.max(most, (atOnce += 1));
            if (atOnce === 2) bothThere.resolve();
            await bothThere.promise;
            const pid = await pidOf(line);
            atOnce -= 1;
            return pid;
          }),
      ),
    );
    expect(most).toBe(2);
    expect(new Set(pids).size).toBe(2);
    await pool.close(1_000);
  });

  test('replaces a connection that the server ended, idle or in use', async () => {
    const pool = new PostgresPool(address, 1);
    const killers = new PostgresPool(address, 1);
    const idle = await pool.withLine(pidOf);
    await kill(killers, idle);
    const next = await eventually('the loss is seen', async () => {
      const pid = await pool.withLine(pidOf).catch(() => idle);
      return pid === idle ? undefined : pid;
    });
    const used = pool.withLine(async (line) => {
      await kill(killers, await pidOf(line));
      await line.run(async (client) => await client.unsafe('select pg_sleep(60)'));
    });
    await expect(used).rejects.toMatchObject({ code: expect.stringMatching(/^(57P01|CONNECTION_CLOSED|ECONNRESET|EPIPE)$/) });
    expect(await pool.withLine(pidOf)).not.toBe(next);
    await pool.close(1_000);
    await killers.close(1_000);
  });

  test('lets people wait for no fleet, and a fleet for no people', async () => {
    for (const isForPeople of [true, false]) {
      const pool = new PostgresPool(address, 6);
      const asPeople = async (use: typeof pidOf): Promise<number> => await pool.forPeople(async () => await pool.withLine(use));
      const asOthers = async (use: typeof pidOf): Promise<number> => await pool.withLine(use);
      const [crowd, one] = isForPeople ? [asOthers, asPeople] : [asPeople, asOthers];
      const release = Promise.withResolvers<void>();
      const full = Promise.withResolvers<void>();
      let held = 0;
      const all = Array.from({ length: 40 }, async () => {
        return await crowd(async (line) => {
          if ((held += 1) === (isForPeople ? 4 : 2)) full.resolve();
          await release.promise;
          return await pidOf(line);
        });
      });
      await full.promise;
      expect(await one(pidOf)).toBeGreaterThan(0);
      expect(held).toBe(isForPeople ? 4 : 2);
      release.resolve();
      expect(new Set(await Promise.all(all)).size).toBeLessThanOrEqual(isForPeople ? 4 : 3);
      await pool.close(1_000);
    }
  });

  test('serves everyone in order, within its limits, whatever connections are lost', async () => {
    const asked = fc.array(fc.record({ isForPeople: fc.boolean(), isLost: fc.boolean(), turns: fc.integer({ min: 0, max: 3 }) }), { maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5 }), asked, async (max, jobs) => {
        const pool = new PostgresPool(address, max);
        const began: { readonly people: number[]; readonly others: number[] } = { people: [], others: [] };
        const now = { people: 0, others: 0 };
        const ofPeople = Math.floor(max / 3);
        const most = { people: ofPeople === 0 ? max : ofPeople, others: max - ofPeople };
        const work = jobs.map(async ({ isForPeople, isLost, turns }, index) => {
          const side = isForPeople ? 'people' : 'others';
          const use = async (line: PostgresLine): Promise<void> => {
            began[side].push(index);
            now[side] += 1;
            expect(now[side]).toBeLessThanOrEqual(most[side]);
            expect(now.people + now.others).toBeLessThanOrEqual(max);
            for (let turn = 0; turn < turns; turn += 1) await pidOf(line);
            now[side] -= 1;
            if (isLost) line.lose(new Error('lost in this test'));
          };
          await (isForPeople ? pool.forPeople(async () => await pool.withLine(use)) : pool.withLine(use));
        });
        await Promise.all(work);
        for (const numbers of [began.people, began.others]) expect(numbers).toHaveLength(new Set(numbers).size);
        expect(began.people.length + began.others.length).toBe(jobs.length);
        // With one connection the order is told by nothing else; more of them may be made at different speeds.
        if (max === 1) for (const numbers of [began.people, began.others]) expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
        await pool.close(1_000);
      }),
      { numRuns: 25 },
    );
  });

  test('closes: what waits fails, what runs has its time', async () => {
    const pool = new PostgresPool(address, 1);
    const started = Promise.withResolvers<void>();
    const running = pool.withLine(async (line) => {
      started.resolve();
      return await pidOf(line);
    });
    const waiting = pool.withLine(pidOf);
    await started.promise;
    const closing = pool.close(5_000);
    await expect(waiting).rejects.toMatchObject({ code: 'CONNECTION_ENDED' });
    expect(await running).toBeGreaterThan(0);
    await closing;
    await expect(pool.withLine(pidOf)).rejects.toMatchObject({ code: 'CONNECTION_ENDED' });
  });

  test('closes in the end, whatever runs', async () => {
    const pool = new PostgresPool(address, 1);
    const started = Promise.withResolvers<void>();
    const running = pool.withLine(async (line) => {
      const sleeping = line.run(async (client) => await client.unsafe('select pg_sleep(60)'));
      started.resolve();
      await sleeping;
    });
    await started.promise;
    const closing = pool.close(50);
    await expect(running).rejects.toMatchObject({ code: 'CONNECTION_ENDED' });
    await closing;
  });
});
