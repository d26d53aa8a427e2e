import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Crowd, Gate, TokenBucket } from './limits.ts';

function manualClock() {
  const clock = { time: 0, monotonic: () => clock.time };
  return clock;
}

describe('a token bucket', () => {
  test('gives a burst, then the rate, and never more over any time', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ waitMs: fc.nat(3_000), tokens: fc.integer({ min: 1, max: 5 }) }), { maxLength: 200 }), (steps) => {
        const clock = manualClock();
        const bucket = new TokenBucket({ burst: 10, perSecond: 4 }, clock);
        let taken = 0;
        for (const { waitMs, tokens } of steps) {
          clock.time += waitMs;
          if (bucket.tryTake(tokens)) taken += tokens;
        }
        expect(taken).toBeLessThanOrEqual(10 + (clock.time / 1000) * 4 + 1e-6);
      }),
    );
  });

  test('returns how long to wait for a debt, and waiting that long yields the rate', () => {
    const clock = manualClock();
    const bucket = new TokenBucket({ burst: 2, perSecond: 10 }, clock);
    expect([bucket.charge(), bucket.charge()]).toEqual([0, 0]);
    for (let n = 0; n < 100; n += 1) clock.time += bucket.charge();
    expect(clock.time).toBe(10_000);
  });

  test('a clock that goes backwards removes no tokens', () => {
    const clock = manualClock();
    const bucket = new TokenBucket({ burst: 2, perSecond: 10 }, clock);
    clock.time = -5_000;
    expect(bucket.isFull).toBe(true);
  });
});

test('a gate admits a limited number at a time, in order, and continues after a failure', async () => {
  const gate = new Gate(2);
  const doors = Array.from({ length: 5 }, () => Promise.withResolvers<undefined>());
  const started: number[] = [];
  const results = doors.map(
    async ({ promise }, index) =>
      await gate.pass(async () => {
        started.push(index);
        return await promise;
      }),
  );
  expect([started, gate.waiting]).toEqual([[0, 1], 3]);
  doors[0]?.reject(new Error('failed'));
  await expect(results[0]).rejects.toThrow('failed');
  expect(started).toEqual([0, 1, 2]);
  for (const { resolve } of doors.slice(1)) resolve(undefined);
  await Promise.all(results.slice(1));
  expect([started, gate.waiting]).toEqual([[0, 1, 2, 3, 4], 0]);
});

describe('a crowd', () => {
  test('never holds more than its limit, and loses only members that were evicted or left', () => {
    const step = fc.record({ member: fc.nat(30), group: fc.constantFrom('a', 'b', 'c'), joins: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const crowd = new Crowd<number>(5);
        const here = new Set<number>();
        for (const { member, group, joins } of steps) {
          here.delete(member);
          if (joins) {
            here.add(member);
            const evicted = crowd.join(member, group);
            if (evicted !== undefined) here.delete(evicted);
          } else crowd.leave(member);
          expect(crowd.size).toBe(here.size);
          expect(crowd.size).toBeLessThanOrEqual(5);
        }
      }),
    );
  });

  test('one address that floods takes only its own places', () => {
    const crowd = new Crowd<string>(4);
    crowd.join('honest', 'here');
    const evicted = Array.from({ length: 100 }, (_, n) => crowd.join(`flood ${n}`, 'there'));
    expect(evicted).not.toContain('honest');
    expect(evicted.filter((each) => each !== undefined)).toHaveLength(97);
  });

  test('of one address the oldest is evicted: quick clients get through', () => {
    const crowd = new Crowd<number>(3);
    expect([1, 2, 3, 4, 5].map((member) => crowd.join(member, 'proxy'))).toEqual([undefined, undefined, undefined, 1, 2]);
  });
});
