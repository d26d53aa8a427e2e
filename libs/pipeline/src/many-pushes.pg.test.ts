import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import type { World } from './test/world.ts';
import { worldForEachTest } from './test/world-for-each-test.ts';

let dir = '';
let world: World;
worldForEachTest((...given) => {
  [world, dir] = given;
});

const HOSTS = ['ada', 'bob', 'cyd', 'dan'];
const PUSHES = 50;

test('fifty pushes during one evaluation cost at most the work of two revisions', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const host of HOSTS) world.evaluatesAfter.set(host, promise);
  const hosts = (system: number) => Object.fromEntries(HOSTS.map((host) => [host, { evaluates: system }]));
  world.commits.push(hosts(1));
  await world.start(dir);
  const state = async (): Promise<string | undefined> => (await world.store.revisions.newest(world.repository.id))?.state;
  await eventually('the first one is evaluated', async () => ((await state()) === 'EVALUATING' ? true : undefined));
  let sha = '';
  for (let system = 2; system <= PUSHES; system += 1) {
    sha = await world.push(hosts(system));
    const fetches = world.fetchedAt.length;
    await eventually('it is fetched', () => (world.fetchedAt.length > fetches ? true : undefined));
  }
  resolve();
  await world.ended(sha as never, 'PUBLISHED');
  expect(await world.released()).toEqual(Object.fromEntries(HOSTS.map((host) => [host, PUSHES])));
  expect(world.evaluations.length).toBeLessThanOrEqual(2 * HOSTS.length);
  expect(new Set(world.evaluations).size).toBe(world.evaluations.length);
});
