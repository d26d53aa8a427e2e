import type { CommitSha } from '@floe/model';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { World } from './test/world.ts';
import type { WorldHost } from './test/world-host.ts';
import { worldForEachTest } from './test/world-for-each-test.ts';

// SPEC R36: a good commit that a newer one replaced goes on when the newer one is refused or fails.

let dir = '';
let world: World;
const open = worldForEachTest((...given) => {
  [world, dir] = given;
});

const NAMES = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fox'];
/** What becomes of a commit: `held` has far fewer hosts, and waits for a person. */
const KINDS = ['good', 'refused', 'broken', 'unbuilt', 'held'] as const;
type Kind = (typeof KINDS)[number];

function contentOf(kind: Kind, system: number): Record<string, WorldHost> {
  const names = kind === 'held' ? NAMES.slice(0, 1) : NAMES;
  const host: WorldHost = {
    evaluates: kind === 'broken' ? 'broken' : system,
    ...(kind === 'unbuilt' ? { builds: 'no-machine' } : {}),
    ...(kind === 'refused' ? { ring: 'refused' } : {}),
  };
  return Object.fromEntries(names.map((name) => [name, host]));
}

/** The first commit is published, and the others come while the second is evaluated. */
async function pushAll(given: World, folder: string, kinds: readonly Kind[]): Promise<void> {
  given.policyOf = (hosts) => (hosts['ada']?.ring === 'refused' ? { rings: 'none' } : undefined);
  given.longestSleepMs = 20;
  given.commits.push(contentOf('good', 1));
  await given.start(folder);
  await given.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const name of NAMES) given.evaluatesAfter.set(name, promise);
  for (const [index, kind] of kinds.entries()) {
    const sha = await given.push(contentOf(kind, index + 2));
    await eventually('it is taken in', async () => ((await revisionOf(given, sha)) === undefined ? undefined : true));
  }
  resolve();
}

const revisionOf = async (given: World, sha: CommitSha) => (await given.store.revisions.byShaPrefix(given.repository.id, sha))[0];

/** Nothing is under way, but for what waits for a person. */
async function rests(given: World): Promise<void> {
  let seen = '';
  await eventually('all is done', async () => {
    const { held } = await given.store.repositories.get(given.repository.id);
    const next = await given.store.revisions.nextUnfinished(given.repository.id);
    if (next !== undefined && next.sha !== held?.commit) return undefined;
    const listed = await given.store.revisions.list(given.repository.id, 20);
    const fetches = given.fetchedAt.length;
    const now = JSON.stringify(listed.map(({ revision }) => [revision.sha, revision.state]));
    await eventually('the branch is looked at', () => (given.fetchedAt.length > fetches + 5 ? true : undefined));
    const isSame = now === seen;
    seen = now;
    return isSame ? true : undefined;
  });
}

test('a good commit that a refused one replaced is released, with what was evaluated of it before', async () => {
  await pushAll(world, dir, ['good', 'refused']);
  await world.ended('3'.padStart(40, '0') as CommitSha, 'REJECTED');
  const revision = await world.ended('2'.padStart(40, '0') as CommitSha, 'PUBLISHED');
  expect(await world.released()).toEqual(Object.fromEntries(NAMES.map((name) => [name, 2])));
  expect(revision).toMatchObject({ supersededBy: undefined, supersededAt: undefined, error: undefined });
  const { rollout } = await world.store.hosts.fleet(world.repository.id);
  expect(rollout?.revisionId).toBe(revision.id);
  const entries = await world.store.audit.list({ limit: 20 });
  expect(entries).toContainEqual(expect.objectContaining({ actor: 'floe', action: 'take-up', subject: revision.sha }));
});

test('the newest good commit is released, whatever was refused, failed or held after it, and nobody goes back', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...KINDS), { minLength: 1, maxLength: 5 }), async (kinds) => {
      await using given = await open();
      await pushAll(given, `${dir}/${crypto.randomUUID()}`, kinds);
      await rests(given);
      const last = kinds.findLastIndex((kind) => kind === 'good' || kind === 'held');
      const released = (await given.released())['ada'];
      // What is held waits for a person, and what was before it with it.
      if (kinds[last] !== 'held') expect(released).toBe(last === -1 ? 1 : last + 2);
      else expect((await given.store.repositories.get(given.repository.id)).held?.commit).toBe(String(last + 2).padStart(40, '0'));
      const listed = (await given.store.revisions.list(given.repository.id, 20)).map(({ revision }) => revision);
      const published = listed.filter(({ state }) => state === 'PUBLISHED').toSorted((one, other) => one.sequence - other.sequence);
      const times = published.map(({ publishedAt = 0 }) => publishedAt);
      expect(times).toEqual(times.toSorted((one, other) => one - other));
    }),
    { numRuns: 12 },
  );
}, 180_000);

test('a commit that a force-push took out of the branch stays out, also when what replaced it fails', async () => {
  const older = '2'.padStart(40, '0') as CommitSha;
  world.removed.add(older);
  await pushAll(world, dir, ['good', 'refused']);
  await world.ended('3'.padStart(40, '0') as CommitSha, 'REJECTED');
  await rests(world);
  expect(await world.released()).toMatchObject({ ada: 1 });
  expect(await revisionOf(world, older)).toMatchObject({ state: 'SUPERSEDED' });
});
