import { runStatusOutbox } from '@floe/forge';
import { countRollout, type CommitSha, type HostStanding, type StatusText } from '@floe/model';
import { silentLogger } from '@floe/runtime';
import { describeBuild, describeRollout } from '@floe/views';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryOutbox } from '../../../libs/forge/src/test/memory-outbox.ts';
import { VirtualClock } from '../../../libs/forge/src/test/virtual-clock.ts';

const SHA = 'a'.repeat(40) as CommitSha;
const HOSTS = 1_000;
const MINUTE_MS = 60_000;

interface Told {
  readonly at: number;
  readonly text: string;
}

/** Wants a status each time that one of a thousand hosts is done, and collects what a forge is told of it. */
async function tell(
  timesMs: readonly number[],
  describeAt: (done: number) => StatusText,
): Promise<{ readonly told: readonly Told[]; readonly lastWantedAt: number }> {
  const clock = new VirtualClock();
  const outbox = new MemoryOutbox(clock.now);
  const told: Told[] = [];
  const stop = new AbortController();
  const running = runStatusOutbox(
    {
      outbox,
      statuses: {
        async post({ state, description }) {
          await clock.sleep(200);
          told.push({ at: clock.now(), text: `${state}: ${description}` });
          return { kind: 'sent' };
        },
        read: async () => ({ kind: 'unknown', message: 'not asked' }),
        isSame: () => false,
      },
      clock,
      random: () => 0.5,
      logger: silentLogger,
      wake: async (signal) => await clock.sleep(500, signal),
    },
    stop.signal,
  );
  const start = clock.now();
  const want = (done: number): void => outbox.put('floe/build', describeAt(done), SHA);
  want(0);
  for (const [index, timeMs] of timesMs.toSorted((a, b) => a - b).entries()) {
    await clock.advance(Math.max(0, start + timeMs - clock.now()));
    want(index + 1);
  }
  const lastWantedAt = clock.now();
  await clock.advance(2 * MINUTE_MS);
  expect(outbox.nextDueAt).toBeUndefined();
  stop.abort();
  await clock.advance(1_000);
  await running;
  return { told, lastWantedAt };
}

function building(done: number): StatusText {
  const evaluations = Array.from({ length: HOSTS }, (_, index) => ({
    host: `ws${index}`,
    outcome: 'CHANGED' as const,
    builtAt: index < done ? 1 : undefined,
  }));
  return describeBuild({ revision: { state: done === HOSTS ? 'PUBLISHED' : 'BUILDING' }, evaluations });
}

function rollingOut(done: number, failed: number): StatusText {
  const of = (count: number, standing: HostStanding): HostStanding[] => Array.from({ length: count }, () => standing);
  const broken = Math.min(done, failed);
  const counts = countRollout([...of(done - broken, 'in-sync'), ...of(broken, 'rolled-back'), ...of(HOSTS - done, 'under-way')]);
  return { ...describeRollout(counts), isUnderWay: done < HOSTS };
}

describe('of one commit of a thousand hosts', () => {
  const durations = fc.record({
    overMs: fc.integer({ min: MINUTE_MS, max: 120 * MINUTE_MS }),
    parts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: HOSTS, maxLength: HOSTS, size: 'max' }),
    failed: fc.integer({ min: 0, max: 50 }),
  });

  test.each([
    { context: 'floe/build', last: /^success: 1000 hosts built/, describeAt: () => building },
    { context: 'floe/rollout', last: /0 under way|hosts run it/, describeAt: (failed: number) => (done: number) => rollingOut(done, failed) },
  ])('$context tells the first at once, a few in between, and the last at once', async ({ describeAt, last }) => {
    await fc.assert(
      fc.asyncProperty(durations, async ({ overMs, parts, failed }) => {
        const { told, lastWantedAt } = await tell(
          parts.map((part) => Math.round(part * overMs)),
          describeAt(failed),
        );
        const minutes = overMs / MINUTE_MS;
        expect(told.length).toBeLessThanOrEqual(5 + Math.min(6 * minutes, 20 + 12 * Math.log2(1 + minutes)));
        const final = told.at(-1);
        expect(final?.text).toMatch(last);
        expect((final?.at ?? Infinity) - lastWantedAt).toBeLessThan(1_000);
        expect(new Set(told.map(({ text }) => text)).size).toBe(told.length);
      }),
      { numRuns: fc.readConfigureGlobal().numRuns ?? 4 },
    );
  });
});

test('whatever is wanted of a line, for however long, a forge that takes a thousand of it is never at its end', async () => {
  const clock = new VirtualClock();
  const outbox = new MemoryOutbox(clock.now);
  let posts = 0;
  // A state that changes each minute for a year.
  for (let minute = 0; minute < 365 * 24 * 60; minute += 1) {
    clock.time += MINUTE_MS;
    outbox.put('floe/rollout', { state: minute % 2 === 0 ? 'success' : 'failure', description: `${minute}` }, SHA);
    for (const claimed of await outbox.claimDue({ now: clock.now(), limit: 1, leaseMs: 1 })) {
      posts += 1;
      await outbox.markSent(claimed, clock.now());
    }
  }
  expect(posts).toBeLessThan(1_000);
});
