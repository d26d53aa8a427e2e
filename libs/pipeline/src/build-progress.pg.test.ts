import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import type { World } from './test/world.ts';
import { worldForEachTest } from './test/world-for-each-test.ts';

let dir = '';
let world: World;
worldForEachTest((...given) => {
  [world, dir] = given;
});

test.each(['inside the server', 'apart'])(
  'which builds run, since when and what they print is told until they end, by a builder %s',
  async (where) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    world.isApart = where === 'apart';
    world.buildsAfter.set('ada', promise);
    world.buildLine = `\u{1b}[31mCC\u{0} ${'x'.repeat(10_000)}`;
    world.longestSleepMs = 50;
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    const before = Date.now();
    await world.start(dir);
    const { revisions } = world.store;
    const build = await eventually('the build is told', async () => {
      const newest = await revisions.newest(world.repository.id);
      const told = newest === undefined ? [] : await revisions.buildsOf(newest.id);
      return told.length === 1 ? told[0] : undefined;
    });
    expect(build).toMatchObject({ host: 'ada', derivation: 'ada-system' });
    expect(build?.since).toBeGreaterThanOrEqual(before);
    expect(build?.line).toHaveLength(200);
    // oxlint-disable-next-line no-control-regex -- the expression looks for these
    expect(build?.line).not.toMatch(/[\u0000-\u001f]/);
    resolve();
    const { id } = await world.ended('1'.padStart(40, '0') as never, 'PUBLISHED');
    await eventually('nothing is told any more', async () => ((await revisions.buildsOf(id)).length === 0 ? true : undefined));
  },
);

test('a check of the policy is told while it builds, and then no more', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  world.policy = { checks: ['unit'] };
  world.buildsAfter.set('unit', promise);
  world.buildLine = 'test 3 of 9';
  world.longestSleepMs = 50;
  world.commits.push({ ada: { evaluates: 1 } });
  await world.start(dir);
  const { revisions } = world.store;
  const told = await eventually('the check is told', async () => {
    const newest = await revisions.newest(world.repository.id);
    const builds = newest === undefined ? [] : await revisions.buildsOf(newest.id);
    return builds.length === 1 ? builds : undefined;
  });
  expect(told).toEqual([expect.objectContaining({ check: 'unit', line: 'test 3 of 9' })]);
  resolve();
  const { id } = await world.ended('1'.padStart(40, '0') as never, 'PUBLISHED');
  await eventually('nothing is told any more', async () => ((await revisions.buildsOf(id)).length === 0 ? true : undefined));
});

test('builds that are over at once write nothing', async () => {
  world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
  const { revisions } = world.store;
  const written: unknown[] = [];
  const note = revisions.noteBuilds.bind(revisions);
  Reflect.set(revisions, 'noteBuilds', async (...args: Parameters<typeof note>) => {
    written.push(args);
    await note(...args);
  });
  await world.start(dir);
  await world.ended('1'.padStart(40, '0') as never, 'PUBLISHED');
  expect(written).toEqual([]);
});
