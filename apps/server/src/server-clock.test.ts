import type { Clock } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ServerClock, type ClockTrouble } from './server-clock.ts';

const DAY = 24 * 3600_000;
const START = 1_800_000_000_000;

/** A machine whose clock can be set. */
class Machine implements Clock {
  wall = START;
  up = 1_000;
  pass(ms: number): void {
    this.wall += ms;
    this.up += ms;
  }
  now(): number {
    return this.wall;
  }
  monotonic(): number {
    return this.up;
  }
  sinceBoot(): number {
    return this.up;
  }
  async sleep(): Promise<void> {
    await Promise.resolve();
  }
}

/** An administrator accepts what is doubted. */
function accept(clock: ServerClock): ClockTrouble | undefined {
  const trouble = clock.trouble();
  if (trouble !== undefined) clock.accept(trouble);
  return trouble;
}

describe("the server's clock", () => {
  test('is the machine’s, as long as that is not absurd', () => {
    const machine = new Machine();
    const clock = new ServerClock(machine);
    clock.remember(START - 60 * DAY); // the server was off for two months
    expect(clock.now()).toBe(START);
    expect(clock.trouble()).toBeUndefined();
    machine.pass(90 * DAY);
    expect(clock.now()).toBe(machine.wall);
  });

  test('continues automatically while the machine shows a year more, and follows it again when it is right', () => {
    const machine = new Machine();
    const clock = new ServerClock(machine);
    clock.remember(START);
    machine.wall += 366 * DAY;
    machine.pass(DAY);
    expect(clock.now()).toBe(START + DAY);
    expect(clock.trouble()).toMatchObject({ kind: 'AHEAD', used: START + DAY });
    machine.wall -= 366 * DAY;
    expect(clock.now()).toBe(START + DAY);
    expect(clock.trouble()).toBeUndefined();
  });

  test('does not believe a machine that starts a year ahead, until an administrator does', () => {
    const machine = new Machine();
    machine.wall += 400 * DAY;
    const clock = new ServerClock(machine);
    clock.remember(START);
    machine.pass(DAY);
    expect(clock.now()).toBe(START + DAY);
    expect(accept(clock)).toMatchObject({ kind: 'AHEAD', shown: machine.wall });
    expect(clock.now()).toBe(machine.wall);
    expect(clock.trouble()).toBeUndefined();
  });

  test('says when it was set back, and what it said before still counts for whoever was told', () => {
    const machine = new Machine();
    const clock = new ServerClock(machine);
    clock.remember(START);
    machine.pass(DAY);
    const told = clock.now();
    machine.wall -= 3 * DAY;
    machine.pass(3600_000);
    expect(clock.now()).toBe(machine.wall);
    expect(clock.trouble()).toMatchObject({ kind: 'BEHIND', before: told });
    expect(clock.latest()).toBe(told + 3600_000);
  });

  test('says when the database shows another time', () => {
    const machine = new Machine();
    const clock = new ServerClock(machine);
    clock.noteDatabase(START + 60_000);
    expect(clock.trouble()).toBeUndefined();
    clock.noteDatabase(START - DAY);
    expect(clock.trouble()).toMatchObject({ kind: 'DIFFERS' });
  });

  test('takes a difference from the database’s clock that an administrator accepted for what it is, until it changes', () => {
    const machine = new Machine();
    const clock = new ServerClock(machine);
    clock.noteDatabase(START - DAY);
    expect(accept(clock)).toMatchObject({ kind: 'DIFFERS', shown: START });
    expect(clock.trouble()).toBeUndefined();
    machine.pass(DAY);
    clock.noteDatabase(machine.wall - DAY - 60_000);
    expect(clock.trouble()).toBeUndefined();
    clock.noteDatabase(machine.wall);
    expect(clock.trouble()).toMatchObject({ kind: 'DIFFERS' });
  });

  test('set back: accepting it ends that', () => {
    const machine = new Machine();
    const clock = new ServerClock(machine);
    clock.remember(START);
    machine.wall -= 3 * DAY;
    expect(accept(clock)).toMatchObject({ kind: 'BEHIND', shown: machine.wall });
    expect(clock.trouble()).toBeUndefined();
  });

  test('never tells a time beyond 180 days of what passed, and a directive never ends before its connection’s time, however the clock is set', () => {
    const step = fc.record({ set: fc.integer({ min: -2000 * DAY, max: 2000 * DAY }), pass: fc.nat(30 * DAY) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const machine = new Machine();
        const clock = new ServerClock(machine);
        clock.remember(START);
        const welcomes: { readonly at: number; readonly up: number }[] = [];
        for (const { set, pass } of steps) {
          machine.wall += set;
          machine.pass(pass);
          const now = clock.now();
          expect(now).toBeLessThanOrEqual(START + (machine.up - 1_000) + 180 * DAY);
          welcomes.push({ at: now, up: machine.up });
          // An agent adds what passed since its welcome.
          for (const { at, up } of welcomes) expect(clock.latest()).toBeGreaterThanOrEqual(at + (machine.up - up));
        }
      }),
    );
  });
});
