import type { CommitSha } from '@floe/model';
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

const FIRST = '1'.padStart(40, '0') as CommitSha;

function hosts(count: number): Record<string, WorldHost> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`host${index}`, { evaluates: 1 }]));
}

async function isHeld(sha: CommitSha, reason: string): Promise<void> {
  await eventually(`it is held: ${reason}`, async () => {
    const now = (await world.store.repositories.get(world.repository.id)).held;
    return now?.commit === sha && now.reason.includes(reason) ? true : undefined;
  });
}

test('who accepts a force-push has not accepted that hosts go: that is asked apart, with their names', async () => {
  world.commits.push(hosts(10));
  await world.start(dir);
  await world.ended(FIRST, 'PUBLISHED');
  world.rewritten.add('2'.padStart(40, '0') as CommitSha);
  const sha = await world.push(hosts(2));
  await isHeld(sha, 'the branch was rewritten');
  const { repositories } = world.store;
  const { seen } = (await repositories.get(world.repository.id)).held ?? {};
  expect(await repositories.allow(world.repository.id, sha, seen)).toBe(true);
  await isHeld(sha, 'these would go: host2, host3, host4, host5, host6, host7, host8, host9');
  // Whoever still looks at the force-push accepts nothing by that.
  expect(await repositories.allow(world.repository.id, sha, seen)).toBe(false);
  const shrunk = (await repositories.get(world.repository.id)).held;
  // It rests until somebody asks: its hosts are not listed again and again.
  await eventually('it rests', async () => {
    const before = world.questions;
    const fetches = world.fetchedAt.length;
    await eventually('the branch is fetched often', () => (world.fetchedAt.length > fetches + 20 ? true : undefined));
    return world.questions === before ? true : undefined;
  });
  expect(await repositories.allow(world.repository.id, sha, shrunk?.seen)).toBe(true);
  await world.ended(sha, 'PUBLISHED');
  expect((await repositories.get(world.repository.id)).held).toBeUndefined();
});

test('a force-push that was accepted is asked about again once other commits would be lost by it', async () => {
  world.commits.push(hosts(2));
  await world.start(dir);
  await world.ended(FIRST, 'PUBLISHED');
  const { repositories } = world.store;
  const rewritten = '3'.padStart(40, '0') as CommitSha;
  const held = { commit: rewritten, reason: 'the branch was rewritten', cause: { kind: 'force-push', accepted: FIRST } } as const;
  // A look at the branch, as it is until then, ends what is held.
  await eventually('it is accepted', async () => {
    await repositories.hold(world.repository.id, held, 1);
    return (await repositories.allow(world.repository.id, rewritten)) ? true : undefined;
  });
  await world.ended(await world.push(hosts(3)), 'PUBLISHED');
  world.rewritten.add(rewritten);
  expect(await world.push(hosts(3))).toBe(rewritten);
  await isHeld(rewritten, `does not descend from ${'2'.padStart(40, '0').slice(0, 12)}`);
});

test('a commit whose loss of hosts was accepted is not asked about again when fewer of them go', async () => {
  world.commits.push(hosts(6));
  await world.start(dir);
  await world.ended(FIRST, 'PUBLISHED');
  const sha = await world.push(hosts(1));
  await isHeld(sha, 'these would go: host1, host2, host3, host4, host5');
  expect(await world.store.repositories.allow(world.repository.id, sha)).toBe(true);
  const { id } = await world.ended(sha, 'PUBLISHED');
  expect(await world.store.revisions.reopen(id, 5)).toMatchObject({ kind: 'advanced' });
  await world.store.repositories.wake(world.repository.id);
  await world.ended(sha, 'PUBLISHED');
});
