import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { systemClock } from './clock.ts';
import { createWake } from './wake.ts';

// A timer takes at most 2^31 - 1 ms; Node fires a longer one immediately, and warns on the console.
it.each([2 ** 31, 2 ** 40, Infinity])('a wait of %d ms is a wait, not a loop without pause', async (ms) => {
  const stop = new AbortController();
  const ended: string[] = [];
  const waits = [
    systemClock.sleep(ms, stop.signal).then(() => ended.push('slept')),
    createWake()
      .wait(ms, stop.signal)
      .then(() => ended.push('waited')),
  ];
  await delay(50);
  expect(ended).toEqual([]);
  stop.abort();
  await Promise.all(waits);
});
