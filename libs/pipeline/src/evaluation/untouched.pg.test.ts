import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { FloeError } from '@floe/runtime';
import type { Store } from '@floe/store';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { worldForEachTest } from '../test/world-for-each-test.ts';
import type { World } from '../test/world.ts';
import type { WorldHost } from '../test/world-host.ts';

let world: World;
let dir: string;
const openWorld = worldForEachTest((given, folder) => {
  world = given;
  dir = folder;
});

/** The files that each commit has, with their contents. */
type Files = Readonly<Record<string, number>>;
let files: Files[] = [];
beforeEach(() => {
  files = [];
});

const IMPORTS: Readonly<Record<string, readonly string[]>> = { ada: ['flake', 'a'], bob: ['flake', 'b'], cyd: ['flake', 'a', 'b'] };
const shaOf = (commit: number): CommitSha => String(commit).padStart(40, '0') as CommitSha;

/** What a host evaluates to: what it imports of the files. */
function hostsOf(commit: Files, more: Readonly<Record<string, Partial<WorldHost>>> = {}): Record<string, WorldHost> {
  const evaluates = (imports: readonly string[]): number => imports.reduce((sum, file) => sum * 10 + (commit[file] ?? 0), 0);
  return Object.fromEntries(Object.entries(IMPORTS).map(([host, imports]) => [host, { evaluates: evaluates(imports), imports, ...more[host] }]));
}

async function begin(of: World, commit: Files, more?: Readonly<Record<string, Partial<WorldHost>>>, folder = dir): Promise<void> {
  of.skips = true;
  of.changedPaths = async (from, to) => {
    const [before, after] = [files[Number(from) - 1] ?? {}, files[Number(to) - 1] ?? {}];
    return await Promise.resolve([...new Set([...Object.keys(before), ...Object.keys(after)])].filter((file) => before[file] !== after[file]));
  };
  files.push(commit);
  of.commits.push(hostsOf(commit, more));
  await of.start(folder);
  await of.ended(shaOf(1), 'PUBLISHED');
  await recorded(of);
}

/** All that is done while nothing else is to be done. */
async function recorded(of: World): Promise<void> {
  await of.later(0);
  await eventually('it is recorded', async () => await Promise.resolve(of.traced.length >= Object.keys(IMPORTS).length ? true : undefined));
}

async function push(of: World, commit: Files, more?: Readonly<Record<string, Partial<WorldHost>>>): Promise<readonly string[]> {
  files.push(commit);
  of.evaluations = [];
  const evaluated = of.ended(await of.push(hostsOf(commit, more)), 'PUBLISHED').then(() => of.evaluations.map((each) => each.slice(2)));
  return await evaluated;
}

test('a host is evaluated only where a commit changes what it took, and all that were not are looked at afterwards', async () => {
  await begin(world, { flake: 1, a: 1, b: 1 });
  expect(world.traced).toEqual(['1 ada', '1 bob', '1 cyd']);
  expect((await push(world, { flake: 1, a: 2, b: 1 })).slice(0, 2)).toEqual(['ada', 'cyd']);
  expect(await world.released()).toEqual({ ada: 12, bob: 11, cyd: 121 });
  await eventually('bob is looked at', async () => await Promise.resolve(world.evaluations.includes('2 bob') ? true : undefined));
  await eventually('they are recorded', async () => await Promise.resolve(world.traced.length === 5 ? true : undefined));
  expect(world.traced.slice(3)).toEqual(['2 ada', '2 cyd']);
  await push(world, { flake: 1, a: 2, b: 1, 'README.md': 1 });
  expect(await world.released()).toEqual({ ada: 12, bob: 11, cyd: 121 });
  await eventually('all are looked at', async () => await Promise.resolve(world.evaluations.length === 3 ? true : undefined));
  expect(await world.row(await world.ended(shaOf(3), 'PUBLISHED'), 'ada')).toMatchObject({ outcome: 'UNCHANGED', warnings: ['ada warns'] });
  expect(world.traced).toHaveLength(5);
});

test('one that has the commit itself in its system is evaluated at each, and what is known survives a start', async () => {
  await begin(world, { flake: 1, a: 1, b: 1 }, { ada: { usesSelf: true } });
  await world.shutDown();
  await world.start(dir);
  expect((await push(world, { flake: 1, a: 1, b: 1, 'README.md': 1 }, { ada: { usesSelf: true } }))[0]).toBe('ada');
  await world.shutDown();
  world.skips = false;
  await world.start(dir);
  expect(await push(world, { flake: 1, a: 1, b: 1, 'README.md': 2 })).toEqual(['ada', 'bob', 'cyd']);
});

/** The first decision to evaluate a commit again does not reach the database. */
function loseReopening({ store }: World): void {
  const underLease = store.underLease.bind(store);
  let isLost = false;
  const losing = (leased: Store): Store => ({
    ...leased,
    decide: async (act) =>
      await leased.decide(async (decisions) => {
        const outcome = await act(decisions);
        if (isLost || !outcome.entries.some(({ action }) => action === 'evaluate')) return outcome;
        isLost = true;
        throw new FloeError('STORE_UNAVAILABLE', 'the database is away', { retryable: true });
      }),
  });
  Object.assign(store, { underLease: (lease: Parameters<typeof underLease>[0]) => losing(underLease(lease)) });
}

test.each(['nothing', 'the file of the traces', 'the database'])(
  'a carried-over host that evaluates to another system ends the carrying over, is told, and the commit is evaluated again, though %s fails',
  async (failing) => {
    if (failing === 'the file of the traces') await mkdir(join(dir, 'traces.json'));
    if (failing === 'the database') loseReopening(world);
    await begin(world, { flake: 1, a: 1, b: 1 });
    // Its trace has not seen what changes it.
    const lying = { bob: { evaluates: 77 } };
    // That bob was carried over first, the words below show: it is looked at as soon as the commit is published.
    await push(world, { flake: 1, a: 1, b: 1, hidden: 1 }, lying);
    await eventually('bob has its own system', async () => ((await world.released())['bob'] === 77 ? true : undefined));
    await world.ended(shaOf(2), 'PUBLISHED');
    await eventually('it is told', async () =>
      (await world.store.repositories.get(world.repository.id)).advice?.startsWith('evaluate.skip is off: bob'),
    );
    if (failing === 'the file of the traces') return;
    await world.shutDown();
    await world.start(dir);
    expect(await push(world, { flake: 1, a: 1, b: 1, hidden: 1, 'README.md': 1 }, lying)).toEqual(['ada', 'bob', 'cyd']);
  },
);

test('where an administrator asks for the evaluation, nothing is carried over', async () => {
  await begin(world, { flake: 1, a: 1, b: 1 });
  await push(world, { flake: 1, a: 1, b: 1, 'README.md': 1 });
  const revision = await world.ended(shaOf(2), 'PUBLISHED');
  await eventually('all are looked at', async () => await Promise.resolve(world.evaluations.length === 3 ? true : undefined));
  world.evaluations = [];
  await world.store.revisions.reopen(revision.id, Date.now());
  await eventually('all are evaluated', async () => await Promise.resolve(world.evaluations.length >= 3 ? true : undefined));
  await world.ended(shaOf(2), 'PUBLISHED');
});

function changed(commit: Files, file: string, to: number): Files {
  return { ...commit, [file]: to };
}

test('skipping never disagrees with evaluating, whatever is pushed and restarted', async () => {
  const step = fc.record({
    change: fc.constantFrom('flake', 'a', 'b', 'README.md'),
    to: fc.integer({ min: 0, max: 3 }),
    restarts: fc.boolean(),
  });
  let skipped = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 5 }), async (steps) => {
      await using of = await openWorld();
      files = [];
      const folder = await mkdtemp(join(dir, 'world-'));
      let commit: Files = { flake: 1, a: 1, b: 1 };
      await begin(of, commit, {}, folder);
      for (const { change, to, restarts } of steps) {
        if (restarts) {
          await of.shutDown();
          await of.start(folder);
        }
        commit = changed(commit, change, to);
        const evaluated = await push(of, commit);
        skipped += Object.keys(IMPORTS).length - new Set(evaluated).size;
        const expected = Object.entries(hostsOf(commit)).map(([host, { evaluates }]) => [host, evaluates]);
        expect(await of.released()).toEqual(Object.fromEntries(expected));
      }
    }),
    { numRuns: 4 },
  );
  expect(skipped).toBeGreaterThan(0);
}, 300_000);
