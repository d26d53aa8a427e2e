import fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '@floe/runtime';
import { apiTokenOf, fakeApp } from '../test/fake-app.ts';

const PIECE = 64 * 1024;

/** An export of so many pieces, each of which the server makes at once, at a time that the test says. */
function exporting(pieces: number) {
  let now = 0;
  const line = 'x'.repeat(PIECE);
  const holder = async (token: string) => {
    const name = token.slice('floe_'.length).replaceAll('-', '');
    return await Promise.resolve({ name, role: 'viewer' as const, person: name });
  };
  const { app } = fakeApp({
    store: { tokens: { findApiToken: holder } },
    clock: { ...systemClock, monotonic: () => now },
    async *exportLines() {
      for (let n = 0; n < pieces; n += 1) yield await Promise.resolve(line);
    },
  });
  return {
    pass: (ms: number) => void (now += ms),
    ask: async (name: string, method = 'GET') => {
      const response = await app.request('/api/export', { method, headers: { authorization: `Bearer ${apiTokenOf(name)}` } });
      const { status, body } = response;
      const refusal = status === 200 ? undefined : ((await response.json()) as { error: { code: string; message: string } }).error;
      return { status, headers: response.headers, refusal, reader: status === 200 ? body?.getReader() : undefined };
    },
  };
}

test('a reader that takes a little now and then keeps its turn from nobody', async () => {
  const { ask, pass } = exporting(1_000);
  const slow = await ask('mallory');
  // As slowly as the server reads at all: 1.1 KB a second.
  for (let n = 0; n < 3; n += 1) {
    await slow.reader?.read();
    pass(58_000);
  }
  expect((await ask('bea')).status).toBe(200);
  expect((await ask('cyd')).status).toBe(200);
  // All turns are taken, and one of them for too long.
  const fourth = await ask('dan');
  expect(fourth.status).toBe(200);
  await expect(slow.reader?.read()).rejects.toThrow('somebody else');
});

test('one token has one turn, and few have one at a time', async () => {
  const { ask, pass } = exporting(1_000);
  const first = await ask('ada');
  await first.reader?.read();
  pass(30_000);
  const again = await ask('ada');
  expect(again).toMatchObject({ status: 429, refusal: { code: 'EXPORT_RUNNING', message: expect.stringContaining('of this token') as string } });
  expect(again.headers.get('retry-after')).toBe('60');
  for (const name of ['bea', 'cyd']) expect((await ask(name)).status).toBe(200);
  expect(await ask('dan')).toMatchObject({
    status: 429,
    refusal: { code: 'EXPORT_RUNNING', message: expect.stringContaining('3 exports') as string },
  });
  // Its reader goes away.
  await first.reader?.cancel();
  expect((await ask('dan')).status).toBe(200);
});

test('whoever asks for the headers alone takes no turn', async () => {
  const { ask } = exporting(3);
  for (const name of ['ada', 'bea', 'cyd', 'dan']) expect((await ask(name, 'HEAD')).status).toBe(200);
  expect((await ask('ada')).status).toBe(200);
});

test('however readers take turns, whoever keeps the pace gets all, and the same token has never two', async () => {
  const step = fc.record({
    who: fc.constantFrom('ada', 'bea', 'cyd', 'dan', 'eve'),
    does: fc.constantFrom('asks', 'reads', 'reads', 'leaves'),
    ms: fc.nat(70_000),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { ask, pass } = exporting(20);
      const readers = new Map<string, { reader: ReadableStreamDefaultReader<Uint8Array>; waitedMs: number; bytes: number }>();
      for (const { who, does, ms } of steps) {
        const mine = readers.get(who);
        if (does === 'asks') {
          const { status, reader } = await ask(who);
          // It has one already, which it reads fast enough.
          if (mine !== undefined && mine.waitedMs <= 60_000) expect(status).toBe(429);
          if (reader !== undefined) readers.set(who, { reader, waitedMs: 0, bytes: 0 });
        } else if (mine !== undefined && does === 'leaves') {
          await mine.reader.cancel().catch(() => undefined);
          readers.delete(who);
        } else if (mine !== undefined) {
          const read = await mine.reader.read().catch(() => 'cut' as const);
          if (read === 'cut') expect(mine.waitedMs > 60_000 && mine.bytes < (mine.waitedMs / 1000) * 16 * 1024).toBe(true);
          else mine.bytes += read.value?.length ?? 0;
          if (read === 'cut' || read.done) readers.delete(who);
        }
        pass(ms);
        for (const each of readers.values()) each.waitedMs += ms;
      }
    }),
  );
});
