import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ListeningClock } from './listening-clock.ts';

const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW = 1_790_000_000_000;

/** A machine whose clock a test sets apart from the time that passes. */
class Machine {
  time = NOW;
  passed = 0;
  now(): number {
    return this.time;
  }
  monotonic(): number {
    return this.passed;
  }
  pass(ms: number): void {
    this.time += ms;
    this.passed += ms;
  }
}

describe('the time by which hosts are missed', () => {
  test('after a server was off for weeks is the one from before, until hosts had an hour to come back', () => {
    const machine = new Machine();
    const listening = new ListeningClock(machine, NOW - 40 * DAY_MS);
    expect(listening.now()).toBe(NOW - 40 * DAY_MS);
    machine.pass(HOUR_MS - 1);
    expect(listening.now()).toBe(NOW - 40 * DAY_MS);
    machine.pass(1);
    expect(listening.now()).toBe(machine.time);
  });

  test('does not follow a clock that is set, for an hour', () => {
    const machine = new Machine();
    const listening = new ListeningClock(machine, NOW);
    machine.pass(2 * HOUR_MS);
    const before = listening.now();
    machine.time += 60 * DAY_MS;
    machine.pass(1_000);
    expect(listening.now()).toBe(before + 1_000);
    // Set right again: the time from before the first jump still holds.
    machine.time -= 60 * DAY_MS;
    expect(listening.now()).toBe(before + 1_000);
    machine.pass(HOUR_MS);
    expect(listening.now()).toBe(machine.time);
  });

  test('is the clock for corrections as time servers make them', () => {
    const machine = new Machine();
    const listening = new ListeningClock(machine, NOW);
    machine.pass(2 * HOUR_MS);
    listening.now();
    machine.time -= 20_000;
    expect(listening.now()).toBe(machine.time);
  });

  test('is never ahead of the clock, and never runs further than time passed within an hour of a jump', () => {
    const anyStep = fc.record({ passMs: fc.nat(30 * 60_000), jumpMs: fc.constantFrom(0, 0, 0, -40 * DAY_MS, 40 * DAY_MS, 5_000) });
    fc.assert(
      fc.property(fc.nat(90 * DAY_MS), fc.array(anyStep, { maxLength: 40 }), (offMs, steps) => {
        const machine = new Machine();
        const listening = new ListeningClock(machine, NOW - offMs);
        for (const { passMs, jumpMs } of steps) {
          const before = listening.now();
          machine.pass(passMs);
          machine.time += jumpMs;
          const after = listening.now();
          expect(after).toBeLessThanOrEqual(machine.time);
          if (Math.abs(jumpMs) > HOUR_MS) expect(after).toBeLessThanOrEqual(Math.max(before, NOW + machine.passed + 40 * DAY_MS * steps.length));
        }
      }),
    );
  });
});
