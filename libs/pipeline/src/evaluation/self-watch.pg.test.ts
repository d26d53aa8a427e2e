import type { CommitSha } from '@floe/model';
import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import type { World } from '../test/world.ts';
import type { WorldHost } from '../test/world-host.ts';
import { worldForEachTest } from '../test/world-for-each-test.ts';

const FIRST = '1'.padStart(40, '0') as CommitSha;

let dir = '';
let world: World;
worldForEachTest((...given) => {
  [world, dir] = given;
  world.looksForSelf = true;
});

async function start(hosts: Readonly<Record<string, WorldHost>>): Promise<void> {
  world.commits.push(hosts);
  await world.start(dir);
  await world.ended(FIRST, 'PUBLISHED');
}

async function advice(): Promise<string | undefined> {
  return (await world.store.repositories.get(world.repository.id)).advice;
}

test('hosts that change with every commit are named once, after they were released, until a later look finds none', async () => {
  const told: string[] = [];
  await using _listener = await world.store.hints.listen((hints) => told.push(...hints.map(({ topic }) => topic)));
  await start({ ada: { evaluates: 1, usesSelf: true }, bob: { evaluates: 2 } });
  expect(await eventually('it is found', advice)).toMatch(/^ada changes with every commit: /);
  const before = await advice();
  await world.ended(await world.push({ ada: { evaluates: 3, usesSelf: true }, bob: { evaluates: 2 } }), 'PUBLISHED');
  await eventually('it was looked at', async () =>
    world.evaluations.filter((each) => each === '2 ada').length === 3 ? true : await Promise.resolve(undefined),
  );
  expect(await advice()).toBe(before);
  await world.ended(await world.push({ ada: { evaluates: 4 }, bob: { evaluates: 2 } }), 'PUBLISHED');
  await eventually('it is over', async () => ((await advice()) === undefined ? true : undefined));
  expect(told).toContain('repository');
});

test('a commit that changes nothing is not looked at, and what was found stays', async () => {
  const fleet = { ada: { evaluates: 1, usesSelf: true } } as const;
  await start(fleet);
  await eventually('it is found', advice);
  world.evaluations = [];
  const sha = await world.push(fleet);
  await world.ended(sha, 'PUBLISHED');
  await world.later(60_000);
  await world.ended(await world.push({ ...fleet, bob: { evaluates: 1, usesSelf: true } }), 'PUBLISHED');
  expect(
    await eventually('the next one is', async () => ((await advice())?.startsWith('every host changes') === true ? await advice() : undefined)),
  ).toContain('every host');
  expect(world.evaluations.filter((each) => each.startsWith('2 '))).toEqual(['2 ada']);
});

test('a look at the repository that is slow stops nothing that is done after the commit was published', async () => {
  const [begun, asked] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  const underLease = world.store.underLease.bind(world.store);
  Object.assign(world.store, {
    underLease(lease: Parameters<typeof underLease>[0]) {
      const store = underLease(lease);
      const { revisions } = store;
      const slow: Partial<typeof revisions> = {
        // Asked while the commit was built, and answered when the systems are looked at.
        async endOverdue(...of) {
          await begun.promise;
          return await revisions.endOverdue(...of);
        },
        async get(id) {
          const row = await revisions.get(id);
          // Once whoever asks has gone on with the answer.
          setImmediate(() => {
            asked.resolve(undefined);
          });
          return row;
        },
        // Only asked while nothing is to be built.
        async nextRetryAt(id) {
          begun.resolve(undefined);
          return await revisions.nextRetryAt(id);
        },
      };
      return { ...store, revisions: { ...revisions, ...slow } };
    },
  });
  world.onBuild = () => void world.evaluatesAfter.set('ada', asked.promise);
  await start({ ada: { evaluates: 1, usesSelf: true } });
  expect(await eventually('it is found', advice)).toMatch(/^ada changes/);
});

test('without the setting it is not looked for', async () => {
  world.looksForSelf = false;
  await start({ ada: { evaluates: 1, usesSelf: true } });
  await world.ended(await world.push({ ada: { evaluates: 2, usesSelf: true } }), 'PUBLISHED');
  await world.later(60_000);
  expect(world.evaluations).toEqual(['1 ada', '2 ada']);
  expect(await advice()).toBeUndefined();
});
