import { silentLogger, systemClock } from '@floe/runtime';
import { startPostgres } from '@floe/testkit';
import fc from 'fast-check';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStore } from './open.ts';
import type { Store } from './store.ts';
import { MIGRATIONS_DIR, newRepository } from './test/test-store.ts';

// What builders that are processes of their own have to tell: the last word of each, as long as it is there.

const stack = new AsyncDisposableStack();
let store: Store;
let beside: postgres.Sql;
beforeAll(async () => {
  const server = stack.use(await startPostgres());
  store = stack.use(
    await openStore({ kind: 'postgres', url: server.url }, { clock: systemClock, logger: silentLogger, migrationsDir: MIGRATIONS_DIR }),
  );
  beside = postgres({ host: server.socketFolder, username: 'floe', database: 'floe', max: 1, onnotice: () => undefined });
  stack.defer(async () => await beside.end());
});
afterAll(async () => await stack.disposeAsync());

test('are the last that each builder told, whatever they are, and bounded', async () => {
  const owner = fc.constantFrom('a', 'b', 'c');
  const notice = fc.record({
    code: fc.constantFrom('CACHE_TOO_LARGE', 'SANDBOX_BROKEN', 'lower', 'X'),
    message: fc.string({ unit: 'binary', maxLength: 5_000 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(owner, fc.array(notice, { maxLength: 30 })), { maxLength: 6 }), async (told) => {
      const { id } = await newRepository(store);
      for (const [each, notices] of told) await store.repositories.tellNotices(id, { owner: each, name: `host-${each}`, notices });
      const shown = await store.repositories.noticesOfBuilders(id);
      const last = new Map<string, (typeof told)[number][1]>(told);
      const readable = [...last].filter(([, notices]) => notices.length > 0 && notices.slice(0, 20).every(({ code }) => code !== 'lower'));
      expect(shown.map((each) => each.owner)).toEqual(readable.map(([each]) => each).toSorted());
      for (const { owner: each, notices } of shown) {
        expect(notices.map(({ code }) => code)).toEqual(
          last
            .get(each)
            ?.slice(0, 20)
            .map(({ code }) => code),
        );
        for (const { message } of notices) expect(message.length).toBeLessThanOrEqual(2_000);
      }
    }),
    { numRuns: 15 },
  );
});

test('end with their builder: when it says so, and a while after it was last heard of', async () => {
  const { id } = await newRepository(store);
  const notices = [{ code: 'CACHE_TOO_LARGE', message: 'full' }];
  for (const owner of ['gone', 'ended', 'there']) await store.repositories.tellNotices(id, { owner, name: owner, notices });
  await store.repositories.tellNotices(id, { owner: 'ended', name: 'ended', notices: [] });
  await beside`update builder_notices set told_at = told_at - 100000 where owner = 'gone'`;
  expect(await store.repositories.noticesOfBuilders(id)).toEqual([{ owner: 'there', name: 'there', notices }]);
  await beside`update builder_notices set told_at = told_at - 86400000 where owner = 'gone'`;
  await store.repositories.tellNotices(id, { owner: 'there', name: 'there', notices: [] });
  expect(await beside`select owner from builder_notices where repository_id = ${id}`).toEqual([]);
});
