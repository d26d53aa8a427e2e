import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import type { World } from './test/world.ts';
import { worldForEachTest } from './test/world-for-each-test.ts';

let world: World;
let dir: string;
worldForEachTest((...given) => ([world, dir] = given));

const LEASE_MS = 60_000;

test.each(['evaluation', 'build'] as const)(
  'a builder that is held up in its %s past its lease hands out nothing when it comes back',
  async (step) => {
    const held = Promise.withResolvers<undefined>();
    const reached = Promise.withResolvers<undefined>();
    world.commits.push({ ada: { evaluates: 1 } });
    if (step === 'evaluation') world.onEvaluate = () => reached.resolve(undefined);
    else world.onBuild = () => reached.resolve(undefined);
    (step === 'evaluation' ? world.evaluatesAfter : world.buildsAfter).set('ada', held.promise);
    await world.start(dir);
    if (step === 'build') await reached.promise;
    else
      await eventually('it evaluates', async () =>
        (await world.store.revisions.newest(world.repository.id))?.state === 'EVALUATING' ? true : undefined,
      );
    const { repositories } = world.store;
    // As when it did not renew its lease for that long.
    await repositories.unclaim(world.repository.id, world.owner);
    const token = await repositories.claim(world.repository.id, 'another', LEASE_MS);
    expect(token).toBeGreaterThan(1);
    const before = await world.store.revisions.newest(world.repository.id);
    held.resolve(undefined);
    await eventually('it gives up', () => (world.warnings.some((each) => each.startsWith('the lease was lost')) ? true : undefined));
    expect(await world.released()).toEqual({});
    expect(await world.store.revisions.newest(world.repository.id)).toEqual(before);
  },
);
