import { afterEach, expect, test } from 'vitest';
import { eventually, startPostgres, type PostgresServer } from '@floe/testkit';
import { openStore } from './open.ts';
import type { Hint, Store } from './store.ts';
import { newRepository, storeDeps } from './test/test-store.ts';

const AWAY = { code: 'STORE_UNREACHABLE', retryable: true };

let server: PostgresServer | undefined;
let store: Store | undefined;
afterEach(async () => {
  await store?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  [server, store] = [undefined, undefined];
});

async function start(): Promise<{ server: PostgresServer; store: Store }> {
  server = await startPostgres();
  store = await openStore({ kind: 'postgres', url: server.url }, storeDeps());
  return { server, store };
}

/** Resolves when a call goes through again; fails on any error but the one that says "try again". */
async function back(away: Store): Promise<void> {
  await eventually('the database answers', async () => {
    try {
      await away.ping();
      return true;
    } catch (error) {
      expect(error).toMatchObject(AWAY);
      return undefined;
    }
  });
}

test('a database that is away at the start is unreachable, and nothing is left open', async () => {
  server = await startPostgres();
  await server.stop();
  await expect(openStore({ kind: 'postgres', url: server.url }, storeDeps())).rejects.toMatchObject(AWAY);
  await server.start();
  store = await openStore({ kind: 'postgres', url: server.url }, storeDeps());
  await store.ping();
});

test('a port where nobody listens is unreachable', async () => {
  await expect(openStore({ kind: 'postgres', url: 'postgres://floe@127.0.0.1:1/floe' }, storeDeps())).rejects.toMatchObject(AWAY);
});

test.each(['fast', 'immediate'] as const)('calls fail while the database is away (%s), and go through when it is back', async (mode) => {
  const world = await start();
  const repository = await newRepository(world.store);
  await world.server.stop(mode);
  await expect(world.store.ping()).rejects.toMatchObject(AWAY);
  await expect(world.store.repositories.wake(repository.id)).rejects.toMatchObject(AWAY);
  await expect(Promise.all(Array.from({ length: 20 }, async () => await world.store.repositories.get(repository.id)))).rejects.toMatchObject(AWAY);
  await world.server.start();
  await back(world.store);
  await world.store.repositories.wake(repository.id);
  expect((await world.store.repositories.get(repository.id)).hintCount).toBe(1);
});

test('calls that are under way when the database dies fail as unreachable or were done', async () => {
  const world = await start();
  const repository = await newRepository(world.store);
  const calls = Array.from({ length: 200 }, async () => await world.store.repositories.wake(repository.id));
  const settled = Promise.allSettled(calls);
  await calls[20];
  await world.server.stop('immediate');
  let done = 0;
  for (const outcome of await settled) {
    if (outcome.status === 'fulfilled') done += 1;
    else expect(outcome.reason).toMatchObject(AWAY);
  }
  expect(done).toBeGreaterThan(0);
  expect(done).toBeLessThan(calls.length);
  await world.server.start();
  await back(world.store);
  // The server that crashes may have committed what it could not answer any more: at least what it said, at most all.
  const { hintCount } = await world.store.repositories.get(repository.id);
  expect(hintCount).toBeGreaterThanOrEqual(done);
  expect(hintCount).toBeLessThanOrEqual(calls.length);
});

test('listening comes back by itself, also after an outage that outlasts several tries', async () => {
  const world = await start();
  const repository = await newRepository(world.store);
  const heard: Hint[] = [];
  await using _listener = await world.store.hints.listen((hints) => heard.push(...hints));
  for (const awayMs of [0, 3_000]) {
    await world.server.stop('immediate');
    const until = performance.now() + awayMs;
    await eventually('the outage is over', () => (performance.now() >= until ? true : undefined));
    await world.server.start();
    await back(world.store);
    heard.length = 0;
    await eventually(
      'a hint is heard again',
      async () => {
        await world.store.repositories.wake(repository.id);
        return heard.length > 0 ? true : undefined;
      },
      { timeoutMs: 30_000 },
    );
  }
});

test('a store that was closed says so, and closes once', async () => {
  const world = await start();
  const listener = await world.store.hints.listen(() => undefined);
  await world.store[Symbol.asyncDispose]();
  await world.store[Symbol.asyncDispose]();
  await expect(world.store.ping()).rejects.toMatchObject({ ...AWAY, message: 'the store was closed' });
  await listener[Symbol.asyncDispose]();
});

test('a store closes while the database is away', async () => {
  const world = await start();
  await using _listener = await world.store.hints.listen(() => undefined);
  await world.server.stop('immediate');
  await world.store[Symbol.asyncDispose]();
});
