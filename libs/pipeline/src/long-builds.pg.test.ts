import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import type { World } from './test/world.ts';
import type { WorldHost } from './test/world-host.ts';
import { worldForEachTest } from './test/world-for-each-test.ts';

let dir = '';
let world: World;
worldForEachTest((...given) => {
  [world, dir] = given;
});

const FIRST = '1'.padStart(40, '0') as never;
/** Of this world. */
const SLOTS = 2;

/** The builds of these hosts end when they are told to. */
function gates(hosts: readonly string[]): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const host of hosts) world.buildsAfter.set(host, promise);
  return resolve;
}

function push(hosts: readonly string[], more: Partial<WorldHost> = {}): void {
  world.commits.push(Object.fromEntries(hosts.map((host) => [host, { evaluates: 1, ...more }])));
}

async function isReleased(host: string): Promise<void> {
  await eventually(`${host} is released`, async () => ((await world.released())[host] === 1 ? true : undefined));
}

test('as many builds as there are slots, which take long, hold no other host', async () => {
  const finish = gates(['ada', 'bob']);
  push(['ada', 'bob', 'cyd', 'dan']);
  // What is long here.
  world.longestSleepMs = 50;
  await world.start(dir);
  await isReleased('cyd');
  await isReleased('dan');
  expect(await world.released()).toEqual({ cyd: 1, dan: 1 });
  finish();
  await world.ended(FIRST, 'PUBLISHED');
});

test('no more than four times as many run at a time, however long they take', async () => {
  const names = 'abcdefghij'.split('').map((letter) => letter.repeat(3));
  const builds: string[] = [];
  world.onBuild = (host) => void builds.push(host);
  const finish = gates(names);
  push(names);
  world.longestSleepMs = 20;
  await world.start(dir);
  await eventually('as many as may be are built', () => (builds.length === 4 * SLOTS ? true : undefined));
  const fetches = world.fetchedAt.length;
  await eventually('the branch is fetched often', () => (world.fetchedAt.length > fetches + 30 ? true : undefined));
  expect(builds).toHaveLength(4 * SLOTS);
  finish();
  await world.ended(FIRST, 'PUBLISHED');
  expect(builds.toSorted()).toEqual(names);
});

test('hosts with the same derivation are built once, and take one slot', async () => {
  const builds: string[] = [];
  world.onBuild = (host) => void builds.push(host);
  const finish = gates(['twin']);
  const twins = ['ada', 'bob', 'cyd', 'dan'];
  world.commits.push({ ...Object.fromEntries(twins.map((host) => [host, { evaluates: 1, builtAs: 'twin' }])), eve: { evaluates: 1 } });
  await world.start(dir);
  await isReleased('eve');
  finish();
  const revision = await world.ended(FIRST, 'PUBLISHED');
  expect(builds.toSorted()).toEqual(['eve', 'twin']);
  expect(Object.keys(await world.released()).toSorted()).toEqual([...twins, 'eve']);
  for (const host of twins) expect(await world.row(revision, host)).toMatchObject({ outcome: 'NEW', error: undefined });
});

test('where the derivation that hosts have in common fails or is gone, each of them says so or is evaluated again', async () => {
  world.commits.push({
    ada: { evaluates: 1, builtAs: 'twin' },
    bob: { evaluates: 1, builtAs: 'twin' },
    twin: { evaluates: 2, builds: 'no-machine' },
  });
  world.commits[0] = { ...world.commits[0], twin: { evaluates: 1, builds: 'no-machine' } };
  await world.start(dir);
  const revision = await world.ended(FIRST, 'BUILD_FAILED');
  for (const host of ['ada', 'bob', 'twin']) expect(await world.row(revision, host)).toMatchObject({ outcome: 'BUILD_ERROR', error: 'no-machine' });
  const hosts = {
    ada: { evaluates: 3, builtAs: 'twin' },
    bob: { evaluates: 3, builtAs: 'twin' },
    twin: { evaluates: 3, builds: 'collected' },
  } as const;
  await world.ended(await world.push(hosts), 'PUBLISHED');
  expect(await world.released()).toEqual({ ada: 3, bob: 3, twin: 3 });
});

test('hosts that say of the same derivation that it makes different systems are built apart: what one says is not the other one’s', async () => {
  const builds: string[] = [];
  world.onBuild = (host) => void builds.push(host);
  world.commits.push({ ada: { evaluates: 1, derivation: 'twin' }, bob: { evaluates: 1, derivation: 'twin' } });
  await world.start(dir);
  await world.ended(FIRST, 'PUBLISHED');
  expect(builds).toEqual(['twin', 'twin']);
});
