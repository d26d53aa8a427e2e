import type { Collected } from '@floe/nix';
import { FloeError } from '@floe/runtime';
import { expect, test } from 'vitest';
import { fakeApp, fakeTokenOf } from '../test/fake-app.ts';

const path = `/nix/store/${'a'.repeat(32)}-system`;
const collected: Collected = {
  removed: [{ storePath: path, usedAt: 1.5, bytes: 3_000_000 }],
  removedBytes: 3_000_000,
  leftovers: 1,
  leftoverBytes: 1_000_000,
  kept: 7,
  keptBytes: 9,
  needed: 6,
  incomplete: [],
  unreadable: [],
};

function withCache(answer: () => Collected = () => collected, elsewhere?: string) {
  const asked: unknown[] = [];
  const app = fakeApp({
    collectCache: async (what) => {
      asked.push(what);
      return await Promise.resolve().then(answer);
    },
    cacheElsewhere: elsewhere,
  });
  return { ...app, asked };
}

test('an administrator has removed what nobody needs, and the log says who, how much and why', async () => {
  const { ask, audit, asked } = withCache();
  const answer = await ask('POST', '/api/cache/gc', { dryRun: false, unusedForMs: 86_400_000, reason: 'the disk is full' });
  expect(answer).toMatchObject({
    status: 200,
    body: { isDryRun: false, removed: [{ path, usedAt: 2, bytes: 3_000_000 }], removedCount: 1, kept: 7, needed: 6, elsewhere: null },
  });
  expect(asked).toEqual([{ isDryRun: false, unusedForMs: 86_400_000 }]);
  const entry = { actor: 'ada', action: 'collect-cache', subject: 'cache' };
  expect(audit).toMatchObject([
    { ...entry, detail: 'removes what no host needs, of what nobody needed for 1 d 0 h: the disk is full' },
    { ...entry, detail: 'removed 1 path, 4.0 MB, of what nobody needed for 1 d 0 h' },
  ]);
});

test('the log says so before anything is removed', async () => {
  const { ask, audit } = withCache(() => {
    expect(audit).toMatchObject([{ actor: 'ada', detail: 'removes what no host needs' }]);
    throw new Error('the server ends');
  });
  expect(await ask('POST', '/api/cache/gc', { dryRun: false })).toMatchObject({ status: 500 });
  expect(audit).toHaveLength(1);
});

test('a dry run is nothing to write down', async () => {
  const { ask, audit, asked } = withCache();
  expect(await ask('POST', '/api/cache/gc', { dryRun: true })).toMatchObject({ status: 200, body: { isDryRun: true, removedCount: 1 } });
  expect(asked).toEqual([{ isDryRun: true, unusedForMs: 0 }]);
  expect(audit).toEqual([]);
});

test('it says where hosts download from, if that is no folder of this server', async () => {
  const { ask } = withCache(() => collected, 'https://cache.example.org');
  expect(await ask('POST', '/api/cache/gc', { dryRun: true })).toMatchObject({ body: { elsewhere: 'https://cache.example.org' } });
});

test('while systems are published, and for anybody else, nothing is removed', async () => {
  const busy = withCache(() => {
    throw new FloeError('CACHE_BUSY', 'systems are published', { retryable: true });
  });
  expect(await busy.ask('POST', '/api/cache/gc', { dryRun: false })).toMatchObject({ status: 409, code: 'CACHE_BUSY' });
  expect(busy.audit).toMatchObject([
    { actor: 'ada', detail: 'removes what no host needs' },
    { actor: 'ada', detail: 'not all of it was removed: systems are published' },
  ]);
  const { ask, asked } = withCache();
  const approver = { authorization: `Bearer ${fakeTokenOf('approver')}` };
  expect(await ask('POST', '/api/cache/gc', { dryRun: true }, approver)).toMatchObject({ status: 403, code: 'ROLE_TOO_LOW' });
  expect(asked).toEqual([]);
});
