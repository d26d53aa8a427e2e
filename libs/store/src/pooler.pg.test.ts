import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, PgBouncer, startPostgres, type PostgresServer } from '@floe/testkit';
import { openStore } from './open.ts';
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
  ]);
  await using store = await openStore({ kind: 'postgres', url: pooler.url }, storeDeps());
  await newRepository(store);
});

test('a pooler with fewer connections than we would like: the calls share them, and hints come from polling', async () => {
  await using pooler = await PgBouncer.create(server, 'session', ['default_pool_size = 2', 'query_wait_timeout = 1']);
  await using store = await openStore({ kind: 'postgres', url: pooler.url }, storeDeps());
  const repository = await newRepository(store);
  await Promise.all(Array.from({ length: 30 }, async () => await store.repositories.wake(repository.id)));
  expect((await store.repositories.get(repository.id)).hintCount).toBe(30);
  const heard: Hint[] = [];
  await using _listener = await store.hints.listen((hints) => heard.push(...hints));
  await eventually('a hint comes', () => (heard.length > 0 ? true : undefined), { timeoutMs: 30_000 });
});
