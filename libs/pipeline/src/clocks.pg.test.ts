import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import { openWorldStore, World } from './test/world.ts';
import { databasesForTests } from './test/world-for-each-test.ts';

const createDatabase = databasesForTests();
const HOUR_MS = 3600_000;

test('two builders whose clocks are hours apart do not take the lease from each other', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-clocks-'));
  const url = await createDatabase();
  await using behind = new World(await openWorldStore(url));
  await using ahead = new World(await openWorldStore(url));
  for (const [world, owner, laterMs] of [
    [behind, 'behind', -2 * HOUR_MS],
    [ahead, 'ahead', 2 * HOUR_MS],
  ] as const) {
    Object.assign(world, { owner, laterMs, longestSleepMs: 20 });
    world.commits.push({ ada: { evaluates: 1 } });
  }
  const { store } = behind;
  await behind.start(join(dir, 'behind'));
  const { id } = behind.repository;
  await eventually('it holds the lease', async () => ((await store.repositories.lease(id))?.owner === 'behind' ? true : undefined));
  await ahead.start(join(dir, 'ahead'));
  await behind.ended('1'.padStart(40, '0') as never, 'PUBLISHED');
  const fetches = behind.fetchedAt.length;
  await eventually('the branch is fetched often', () => (behind.fetchedAt.length > fetches + 100 ? true : undefined));
  expect((await store.repositories.lease(id))?.owner).toBe('behind');
  expect(ahead.fetchedAt).toEqual([]);
  // And the other one takes over when it ends.
  await behind.shutDown();
  await eventually('the other one holds it', async () => ((await store.repositories.lease(id))?.owner === 'ahead' ? true : undefined));
  await rm(dir, { recursive: true, force: true });
});
