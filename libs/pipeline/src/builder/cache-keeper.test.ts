import type { Collected } from '@floe/nix';
import { FloeError, silentLogger, systemClock, Troubles } from '@floe/runtime';
import { expect, test } from 'vitest';
import { keepCache, type CacheKeeperDeps, type CacheLimits } from './cache-keeper.ts';

const NOTHING: Collected = {
  removed: [],
  removedBytes: 0,
  leftovers: 0,
  leftoverBytes: 0,
  kept: 1,
  keptBytes: 10,
  needed: 1,
  incomplete: [],
  unreadable: [],
};

/** Runs it until each of the answers was given. */
async function keep(limits: CacheLimits, ...answers: (() => Collected)[]) {
  const stopping = new AbortController();
  const asked: Parameters<CacheKeeperDeps['collectCache']>[0][] = [];
  const said: (string | undefined)[] = [];
  const slept: number[] = [];
  const clock = {
    ...systemClock,
    sleep: async (ms: number) => {
      slept.push(ms);
      await Promise.resolve();
    },
  };
  const troubles = new Troubles({ clock, logger: silentLogger });
  const collectCache: CacheKeeperDeps['collectCache'] = async (what) => {
    asked.push(what);
    const answer = answers[asked.length - 1];
    if (asked.length === answers.length) stopping.abort();
    return await Promise.resolve().then(() => answer?.() ?? NOTHING);
  };
  const confirm = async (): Promise<void> => await Promise.resolve();
  await keepCache(
    { limits, collectCache, confirm, clock, logger: silentLogger, troubles, onTooLarge: (message) => void said.push(message) },
    stopping.signal,
  );
  return { asked, said, slept, trouble: troubles.of('server: cache') };
}

test('nothing is removed without a setting', async () => {
  expect(await keep({})).toMatchObject({ asked: [], slept: [] });
});

test('every hour what the settings do not keep is removed, and first after some minutes', async () => {
  const { asked, slept } = await keep({ unusedForMs: 5, maxBytes: 10 }, ...[1, 2, 3].map(() => () => NOTHING));
  expect(asked).toMatchObject([1, 2, 3].map(() => ({ isDryRun: false, unusedForMs: 5, maxBytes: 10 })));
  expect(slept).toEqual([600_000, 3_600_000, 3_600_000, 3_600_000]);
});

test('a cache of which all is needed, and that is too large, is said; and that it is not any more', async () => {
  const { said } = await keep({ maxBytes: 9_000 }, ...[10_000_000, 9_000].map((keptBytes) => () => ({ ...NOTHING, keptBytes })));
  expect(said).toEqual([expect.stringMatching(/^the cache has 10\.0 MB, of 0?9\.0 kB at most/), undefined]);
});

test('a database that is away, or a publication, lets it wait; a disk that fails is shown until it does not', async () => {
  const fail = (error: Error) => () => {
    throw error;
  };
  const away = fail(new FloeError('STORE_UNREACHABLE', 'away', { retryable: true }));
  const broken = fail(Object.assign(new Error('read-only'), { code: 'EROFS' }));
  expect((await keep({ maxBytes: 1 }, away, () => NOTHING)).trouble).toBeUndefined();
  expect((await keep({ maxBytes: 1 }, away, broken)).trouble).toBeDefined();
  expect((await keep({ maxBytes: 1 }, broken, () => NOTHING)).trouble).toBeUndefined();
});
