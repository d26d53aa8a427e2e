import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { NOW } from './test/fixtures.ts';
import { makeHome, refusal, run, startServer, type Answer } from './test/harness.ts';

let home: Awaited<ReturnType<typeof makeHome>>;
let servers = new AsyncDisposableStack();
beforeAll(async () => void (home = await makeHome()));
afterEach(async () => {
  await servers.disposeAsync();
  servers = new AsyncDisposableStack();
});
afterAll(async () => await home[Symbol.asyncDispose]());

async function floe(answer: Answer, ...argv: string[]) {
  const server = servers.use(await startServer({ 'POST /api/cache/gc': answer }));
  const result = await run(argv, { FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile });
  return { ...result, asked: server.seen.find(({ path }) => path === '/api/cache/gc')?.body };
}

const path = `/nix/store/${'a'.repeat(32)}-system`;
const collected = {
  isDryRun: false,
  removed: [{ path, usedAt: NOW - 3 * 24 * 3600_000, bytes: 3_000_000 }],
  removedCount: 2,
  removedBytes: 3_500_000,
  leftovers: 1,
  leftoverBytes: 1_000_000,
  kept: 7,
  keptBytes: 9_000_000_000,
  needed: 6,
  incomplete: [],
  unreadable: [],
  elsewhere: null,
};

test('floe cache gc says what was removed, and how much space that gives', async () => {
  const { code, stdout, asked } = await floe({ json: collected }, 'cache', 'gc', '--unused-for', '30d', '--reason', 'the disk is full');
  expect(code).toBe(0);
  expect(asked).toEqual({ dryRun: false, unusedForMs: 30 * 24 * 3600_000, reason: 'the disk is full' });
  expect(stdout).toMatch(new RegExp(`^${path} +3 d ago +3\\.0 MB$`, 'm'));
  expect(stdout).toMatch(/^and 1 more$/m);
  expect(stdout).toMatch(/^Removed 2 paths, with 1 file that publications left behind: 4\.5 MB\. 7 paths stay \(9\.0 GB\), 6 of them needed\.$/m);
});

test('floe cache gc --dry-run names it without removing, and what is wrong in the cache', async () => {
  const wrong = { ...collected, isDryRun: true, incomplete: [path], unreadable: ['x.narinfo'], elsewhere: 'https://cache.example.org' };
  const { stdout, asked } = await floe({ json: wrong }, 'cache', 'gc', '--dry-run');
  expect(asked).toEqual({ dryRun: true });
  expect(stdout).toMatch(/^Would remove 2 paths/m);
  expect(stdout).toContain(`${path}: needed, and not whole`);
  expect(stdout).toContain('x.narinfo: cannot be read');
  expect(stdout).toContain('Hosts download from https://cache.example.org: nothing was removed there.');
  const nothing = { ...collected, removed: [], removedCount: 0, leftovers: 0 };
  expect((await floe({ json: nothing }, 'cache', 'gc')).stdout).toMatch(/^There is nothing to remove\. 7 paths stay/);
});

test('floe cache gc --json prints what the server answered, and a refusal is one', async () => {
  expect(JSON.parse((await floe({ json: collected }, 'cache', 'gc', '--json')).stdout)).toEqual(collected);
  expect(await floe(refusal(409, 'CACHE_BUSY', 'systems are published'), 'cache', 'gc')).toMatchObject({ code: 1, stdout: '' });
  expect(await floe({ json: collected }, 'cache', 'gc', '--unused-for', 'long')).toMatchObject({ code: 2 });
});
