import type { StorePath } from '@floe/model';
import type { Nix } from '@floe/nix';
import { FloeError, silentLogger } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PipelineDeps } from '../deps.ts';
import { anyCache } from '../test/folder-cache.ts';
import { publishApart } from './publish-apart.ts';

const path = (name: string | number): StorePath => `/nix/store/${'0'.repeat(32)}-${name}` as StorePath;
const { signal } = new AbortController();

/** A cache that does not take these closures, alone or together with others; or that is away. */
function cacheThat(refused: ReadonlySet<StorePath>, isAway = false): Pick<PipelineDeps, 'nix' | 'cache' | 'logger'> {
  const refuse = (paths: readonly StorePath[]): void => {
    if (isAway || paths.some((each) => refused.has(each))) throw new FloeError('NIX_FAILED', 'Nix failed');
  };
  const nix: Pick<Nix, 'readBack'> = {
    readBack: async (_cache, paths) => {
      refuse(paths);
      return await Promise.resolve(new Map(paths.map((each) => [each, { narHash: 'sha256-x', closureSizeBytes: 1 }])));
    },
  };
  return { nix: nix as Nix, cache: anyCache(refuse), logger: silentLogger };
}
const known = async (): Promise<readonly StorePath[]> => await Promise.resolve([path('of-another-host')]);

test('whatever closures cannot be published, however many, and in whatever order, each other one is', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(99), { minLength: 1, maxLength: 100 }), fc.func(fc.boolean()), async (numbers, isBad) => {
      const paths = numbers.map(path);
      const bad = new Set(numbers.filter((number) => isBad(number)).map(path));
      const { published, refused } = await publishApart(cacheThat(bad), paths, known, signal);
      expect([new Set(published.keys()), new Set(refused.map(({ item }) => item))]).toEqual([new Set(paths.filter((each) => !bad.has(each))), bad]);
    }),
    { numRuns: 300 },
  );
});

test.each([
  ['there is another closure that it had', known],
  ['nothing else is known', async (): Promise<readonly StorePath[]> => await Promise.resolve([])],
])('while the cache is away no closure is to blame, where %s', async (_where, others) => {
  for (const count of [1, 2, 30]) {
    const paths = Array.from({ length: count }, (_, index) => path(index));
    await expect(publishApart(cacheThat(new Set(), true), paths, others, signal)).rejects.toMatchObject({ code: 'NIX_FAILED' });
  }
});
