import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, PgBouncer, startPostgres, type PostgresServer } from '@floe/testkit';
import { openStore } from './open.ts';
import { PostgresLine, type PostgresAddress } from './postgres-line.ts';
import type { Hint, Store } from './store.ts';
import { commit, newestRelease, newHost, newRepository, publishNext, storeDeps } from './test/test-store.ts';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => await server[Symbol.asyncDispose]());

describe.each(['session', 'transaction'] as const)('behind PgBouncer in %s mode', (mode) => {
  let pooler: PgBouncer;
  let store: Store;
  beforeAll(async () => {
    pooler = await PgBouncer.create(server, mode, [mode === 'session' ? 'default_pool_size = 20' : 'default_pool_size = 3']);
    store = await openStore({ kind: 'postgres', url: pooler.url }, storeDeps());
  });
  afterAll(async () => {
    await store?.[Symbol.asyncDispose]();
    await pooler?.[Symbol.asyncDispose]();
  });

  test('everything works, also many at once on fewer connections', async () => {
    const repository = await newRepository(store);
    const hosts = Array.from({ length: 30 }, newHost);
    await publishNext(store, repository, commit('1'), hosts);
    await Promise.all([
      ...hosts.map(async (host) => await store.hosts.retry(host, '/nix/store/x' as never)),
      ...hosts.map(async (host) => await newestRelease(store, repository, host)),
      ...Array.from({ length: 50 }, async () => await store.repositories.wake(repository.id)),
    ]);
    expect((await store.repositories.get(repository.id)).hintCount).toBe(50);
    expect((await store.hosts.list(repository.id)).map(({ epoch }) => epoch)).toEqual(hosts.map(() => 1));
  });

  test('hints are heard, or it is noticed that they are not, and they come from polling', async () => {
    const heard: Hint[] = [];
    await using _listener = await store.hints.listen((hints) => heard.push(...hints));
    await eventually('it is known whether hints are heard', async () => ((await store.hints.isHeard()) === (mode === 'session') ? true : undefined));
    await store.repositories.wake((await newRepository(store)).id);
    await eventually('a hint comes', () => (heard.some(({ topic }) => topic === 'repository' || topic === 'outbox') ? true : undefined), {
      timeoutMs: 10_000,
    });
  });
});

test('a pooler that is told to take and forget our limits is no trouble either', async () => {
  await using pooler = await PgBouncer.create(server, 'transaction', [
    'ignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout',
    'default_pool_size = 3',
  ]);
  await using store = await openStore({ kind: 'postgres', url: pooler.url }, storeDeps());
  const repository = await newRepository(store);
  // Each on whatever session is free: none may count on what was prepared in it.
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) =>
      index % 2 === 0 ? await store.repositories.wake(repository.id) : await store.hosts.get(newHost()),
    ),
  );
  expect((await store.repositories.get(repository.id)).hintCount).toBe(100);
});

test('statements are prepared in a session of our own, not behind a pooler, and only so many', async () => {
  const direct = addressOf(server.url);
  const line = await PostgresLine.open(direct);
  expect(line.mayPrepare('select $1::text')).toBe(true);
  expect(line.mayPrepare(`select $1::text -- ${'x'.repeat(4_000)}`)).toBe(false);
  const asked = Array.from({ length: 2_000 }, (_, index) => line.mayPrepare(`select ${index}, $1::text`));
  expect(asked.filter(Boolean)).toHaveLength(299);
  expect(line.mayPrepare('select $1::text')).toBe(true);
  await line.close();
  for (const mode of ['session', 'transaction'] as const) {
    await using pooler = await PgBouncer.create(server, mode, []);
    const pooled = await PostgresLine.open(addressOf(pooler.url));
    expect(pooled.mayPrepare('select $1::text')).toBe(false);
    await pooled.close();
  }
});

function addressOf(text: string): PostgresAddress {
  const url = new URL(text);
  const socketFolder = url.searchParams.get('host') ?? undefined;
  url.searchParams.delete('host');
  return { url: url.href, socketFolder };
}

test('a pooler with fewer connections than we would like: the calls share them, and hints come from polling', async () => {
  await using pooler = await PgBouncer.create(server, 'session', ['default_pool_size = 2', 'query_wait_timeout = 1']);
  await using store = await openStore({ kind: 'postgres', url: pooler.url }, storeDeps());
  const repository = await newRepository(store);
  const wake = async (): Promise<void> => await store.repositories.wake(repository.id);
  await Promise.all(Array.from({ length: 30 }, async (_, n) => await (n % 2 === 0 ? wake() : store.forPeople(wake))));
  expect((await store.repositories.get(repository.id)).hintCount).toBe(30);
  const heard: Hint[] = [];
  await using _listener = await store.hints.listen((hints) => heard.push(...hints));
  await eventually('a hint comes', () => (heard.length > 0 ? true : undefined), { timeoutMs: 30_000 });
});
