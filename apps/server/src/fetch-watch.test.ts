import type { GitMirror } from '@floe/git';
import { systemClock } from '@floe/runtime';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FetchWatch } from './fetch-watch.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function watched(): { watch: FetchWatch; mirror: GitMirror; told: (string | undefined)[]; end: () => void } {
  const told: (string | undefined)[] = [];
  const watch: FetchWatch = new FetchWatch(systemClock, () => told.push(watch.shown?.message));
  const ended = Promise.withResolvers<never>();
  const mirror = watch.watching({ fetch: async () => await ended.promise } as unknown as GitMirror);
  return { watch, mirror, told, end: () => ended.reject(new Error('ended')) };
}

it('says every two seconds how far the first fetch is, also while the server says nothing, and stops when it ends', async () => {
  const { watch, mirror, told, end } = watched();
  const startedAt = Date.now();
  const fetched = mirror.fetch(undefined).catch(() => undefined);
  await vi.advanceTimersByTimeAsync(2_000);
  watch.noteProgress({ receivedBytes: 1_234_567, objects: 0, totalObjects: 0 });
  await vi.advanceTimersByTimeAsync(2_000);
  watch.noteProgress({ receivedBytes: 43_210_000, objects: 12_000, totalObjects: 30_000 });
  await vi.advanceTimersByTimeAsync(6_000);
  expect(watch.shown?.since).toBe(startedAt);
  end();
  await fetched;
  await vi.advanceTimersByTimeAsync(60_000);
  const what = 'fetching the repository for the first time';
  expect(told).toEqual([`${what}: nothing was received yet`, `${what}: 1.2 MB`, `${what}: 43 MB, 12,000 of 30,000 objects`, undefined]);
});

it('says nothing of a fetch that takes less than two seconds', async () => {
  const { mirror, told, end } = watched();
  const fetched = mirror.fetch('a'.repeat(40) as never).catch(() => undefined);
  await vi.advanceTimersByTimeAsync(1_900);
  end();
  await fetched;
  expect(told).toEqual([]);
});
