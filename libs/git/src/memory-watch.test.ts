import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { watchMemory } from './memory-watch.ts';

const MIB = 1024 ** 2;

it.each([
  ['holds buffers', 'Buffer.alloc(4 * 1024 ** 2, 1)'],
  ['holds objects', 'Array.from({ length: 100_000 }, (_, index) => ({ index }))'],
])('terminates a thread that %s beyond the limit, also one that never yields', async (_what, piece) => {
  const worker = new Worker(`const held = []; for (;;) { if (held.length < 60) held.push(${piece}); }`, { eval: true });
  const exited = once(worker, 'exit');
  const watch = watchMemory(worker, 100 * MIB);
  try {
    await exited;
    expect(watch.failure()).toMatchObject({ code: 'REPOSITORY_TOO_LARGE', retryable: false });
    expect(String(watch.failure())).toMatch(/more than 100 MiB of memory.*FLOE_REPOSITORY_MAX_MIB/);
  } finally {
    watch.end();
  }
});

it('does not terminate a thread that stays below it', async () => {
  const worker = new Worker(`const held = Buffer.alloc(40 * 1024 ** 2, 1); setTimeout(() => held.length, 600)`, { eval: true });
  const exited = once(worker, 'exit');
  const watch = watchMemory(worker, 100 * MIB);
  await exited;
  watch.end();
  expect(watch.failure()).toBeUndefined();
});
