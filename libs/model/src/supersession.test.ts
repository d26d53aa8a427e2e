import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mustFinishFirst, PATIENCE, patienceMs, SUPERSESSION_LIMIT, retryDelayMs } from './supersession.ts';

/** Simulates pushes at these times, each taking `durationMs` from start to release. Returns the times of the releases. */
function releases(pushes: readonly number[], durationMs: number): number[] {
  const released: number[] = [];
  let running: { readonly receivedAt: number; readonly endsAt: number } | undefined;
  let waiting: number | undefined;
  let row: number[] = [];
  const finishUntil = (now: number): void => {
    while (running !== undefined && running.endsAt <= now) {
      const { endsAt } = running;
      released.push(endsAt);
      row = [];
      running = waiting === undefined ? undefined : { receivedAt: waiting, endsAt: endsAt + durationMs };
      waiting = undefined;
    }
  };
  for (const now of pushes) {
    finishUntil(now);
    if (running === undefined) {
      running = { receivedAt: now, endsAt: now + durationMs };
      continue;
    }
    const waitingMs = now - (row[0] ?? running.receivedAt);
    if (mustFinishFirst({ supersededInARow: row.length, waitingMs, isStuck: false })) {
      waiting = now;
    } else {
      row.push(running.receivedAt);
      running = { receivedAt: now, endsAt: now + durationMs };
    }
  }
  finishUntil(Infinity);
  return released;
}

test('however fast commits arrive, one is released within four commits and one run, or within the time limit and two runs', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 120_000 }), { minLength: 1, maxLength: 200 }),
      fc.integer({ min: 1_000, max: 600_000 }),
      (gaps, durationMs) => {
        let now = 0;
        const pushes = gaps.map((gap) => (now += gap));
        const released = releases(pushes, durationMs);
        const first = pushes[0] ?? 0;
        let since = first;
        for (const at of released) {
          const within = pushes.filter((push) => push > since && push <= at - durationMs).length;
          expect(within <= SUPERSESSION_LIMIT.supersessions + 1 || at - since <= SUPERSESSION_LIMIT.ms + 2 * durationMs).toBe(true);
          since = at;
        }
        // The newest commit is always released in the end.
        expect(released.at(-1)).toBeGreaterThanOrEqual(pushes.at(-1) ?? 0);
      },
    ),
  );
});

test('a commit every 12 s that takes 20 s: without the limit nothing would be released while they arrive', () => {
  const pushes = Array.from({ length: 50 }, (_, index) => index * 12_000);
  expect(releases(pushes, 20_000).filter((at) => at < 50 * 12_000).length).toBeGreaterThan(8);
});

test('a commit that is stuck, or that superseded no other, is superseded immediately', () => {
  expect(mustFinishFirst({ supersededInARow: 99, waitingMs: 1e9, isStuck: true })).toBe(false);
  expect(mustFinishFirst({ supersededInARow: 0, waitingMs: 1_000, isStuck: false })).toBe(false);
});

/** Commits at these times, each of which takes `durationMs`, and is finished first until the next one has waited long enough. */
function starts(pushes: readonly number[], durationMs: number): { readonly released: number; readonly longestWait: number } {
  let [released, longestWait, inVain] = [0, 0, 0];
  let [startedAt, next] = [pushes[0] ?? 0, 1];
  while (next < pushes.length) {
    const waitsSince = Math.max(startedAt, pushes[next] ?? Infinity);
    const endsAt = Math.min(startedAt + durationMs, waitsSince + patienceMs(inVain));
    const isDone = endsAt === startedAt + durationMs;
    [released, inVain] = isDone ? [released + 1, 0] : [released, inVain + 1];
    longestWait = Math.max(longestWait, endsAt - waitsSince);
    startedAt = Math.max(endsAt, waitsSince);
    // Only the newest is looked at.
    next = Math.max(next + 1, pushes.findLastIndex((push) => push <= startedAt) + 1);
  }
  return { released, longestWait };
}

test('no commit waits for longer than the limit, and where each takes hours, some are released, however fast they come', () => {
  const anyGaps = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1_500, maxLength: 2_000 });
  fc.assert(
    fc.property(anyGaps, fc.integer({ min: 1, max: 4 * 60 }), (gaps, minutes) => {
      let now = 0;
      const { released, longestWait } = starts(
        gaps.map((gap) => (now += gap) * 60_000),
        minutes * 60_000,
      );
      expect(longestWait).toBeLessThanOrEqual(PATIENCE.capMs);
      // Each takes at most the sum of all that was tried before it.
      expect(released).toBeGreaterThan(now / (60 + 30 + 60 + 120 + 4 * 240) - 2);
    }),
    { numRuns: 50 },
  );
  expect(patienceMs(0)).toBe(15 * 60_000);
  expect(patienceMs(1e9)).toBe(4 * 3_600_000);
});

test('retries slow down, and never stop', () => {
  expect([1, 2, 3, 99, 1e9].map(retryDelayMs)).toEqual([30_000, 60_000, 120_000, 900_000, 900_000]);
});
