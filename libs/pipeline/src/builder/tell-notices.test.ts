import { silentLogger, systemClock, type Clock } from '@floe/runtime';
import { expect, test, vi } from 'vitest';
import { NoticeTeller } from './tell-notices.ts';

test('notices are told as they come and go, again while they last, after an outage, and end with the builder', async () => {
  const told: string[][] = [];
  let isAway = false;
  let refused = 0;
  let laterMs = 0;
  const clock: Clock = {
    ...systemClock,
    monotonic: () => systemClock.monotonic() + laterMs,
    sleep: async (_ms, signal) => await systemClock.sleep(1, signal),
  };
  const tellNotices = async (_id: string, { notices }: { readonly notices: readonly { readonly code: string }[] }): Promise<void> => {
    await Promise.resolve();
    if (isAway) {
      refused += 1;
      throw new Error('the database does not answer');
    }
    told.push(notices.map(({ code }) => code));
  };
  const teller = new NoticeTeller({
    store: { repositories: { tellNotices } },
    clock,
    logger: silentLogger,
    repositoryId: 'r',
    owner: 'o',
    name: 'n',
  });
  const stop = new AbortController();
  const running = teller.run(stop.signal);
  const says = async (...expected: string[][]): Promise<void> => await vi.waitFor(() => expect(told).toEqual(expected), 20_000);
  // What a killed one left.
  await says([]);
  teller.tell('CACHE_TOO_LARGE', 'full');
  await says([], ['CACHE_TOO_LARGE']);
  laterMs += 25_000;
  await says([], ['CACHE_TOO_LARGE'], ['CACHE_TOO_LARGE']);
  isAway = true;
  teller.tell('SANDBOX_BROKEN', 'no bwrap');
  await vi.waitFor(() => expect(refused).toBeGreaterThan(1), 20_000);
  isAway = false;
  await says([], ['CACHE_TOO_LARGE'], ['CACHE_TOO_LARGE'], ['CACHE_TOO_LARGE', 'SANDBOX_BROKEN']);
  teller.tell('CACHE_TOO_LARGE', undefined);
  await says([], ['CACHE_TOO_LARGE'], ['CACHE_TOO_LARGE'], ['CACHE_TOO_LARGE', 'SANDBOX_BROKEN'], ['SANDBOX_BROKEN']);
  stop.abort();
  await running;
  expect(told.at(-1)).toEqual([]);
});
