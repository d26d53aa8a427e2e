import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Clock } from './clock.ts';
import { FloeError } from './errors.ts';
import { createLogger } from './logger.ts';
import { narrow } from './narrow.ts';
import { isAboutSubject, Troubles } from './troubles.ts';

function world() {
  const lines: string[] = [];
  const clock: Clock & { time: number } = {
    time: 1,
    now: () => clock.time,
    monotonic: () => clock.time,
    sinceBoot: () => clock.time,
    sleep: async () => undefined,
  };
  const changed: string[] = [];
  const troubles = new Troubles({
    clock,
    logger: createLogger({ level: 'debug', write: (line) => lines.push(line) }),
    onChange: (subject) => changed.push(subject),
  });
  return { lines, clock, changed, troubles };
}
const refusing = (bad: ReadonlySet<number>, done: number[]) => async (some: readonly number[]) => {
  if (some.some((item) => bad.has(item))) throw new Error('one of them is bad');
  done.push(...some);
};

describe('a batch that is refused', () => {
  test('is narrowed to its culprits, and all others succeed once and in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(200), { maxLength: 100 }), fc.uniqueArray(fc.nat(200), { maxLength: 6 }), async (items, bad) => {
        const done: number[] = [];
        const culprits = await narrow(items, refusing(new Set(bad), done), () => true);
        expect(culprits.map(({ item }) => item)).toEqual(items.filter((item) => bad.includes(item)));
        expect(done).toEqual(items.filter((item) => !bad.includes(item)));
      }),
    );
  });

  test('takes few attempts for one culprit', async () => {
    let tries = 0;
    await narrow(
      Array.from({ length: 2_000 }, (_, index) => index),
      async (some) => {
        tries += 1;
        if (some.includes(1_234)) throw new Error('bad');
      },
      () => true,
    );
    expect(tries).toBeLessThan(30);
  });

  test('in which all items are bad ends early: not each one is tried', async () => {
    let tries = 0;
    const culprits = await narrow(
      Array.from({ length: 2_000 }, (_, index) => index),
      async () => {
        tries += 1;
        throw new Error('bad');
      },
      () => true,
    );
    expect(culprits).toHaveLength(2_000);
    expect(tries).toBeLessThan(100);
  });

  test('for a reason that is not in it is not narrowed', async () => {
    const away = new FloeError('STORE_UNREACHABLE', 'away', { retryable: true });
    await expect(narrow([1, 2], async () => Promise.reject(away), isAboutSubject)).rejects.toBe(away);
  });
});

describe('a supervised loop', () => {
  const key = String;

  test('continues with the others when one fails, and reports which', async () => {
    const { troubles, changed } = world();
    const done: number[] = [];
    await troubles.each('steering', [1, 2, 3], key, async (subject) => {
      if (subject === 2) throw new FloeError('ODD', 'it is odd');
      done.push(subject);
    });
    expect(done).toEqual([1, 3]);
    expect(troubles.of('2')).toEqual({ code: 'ODD', message: 'steering failed: it is odd', since: 1 });
    expect([troubles.of('1'), changed]).toEqual([undefined, ['2']]);
    await troubles.together('steering', [1, 2, 3], key, async () => undefined);
    expect([troubles.of('2'), changed]).toEqual([undefined, ['2', '2']]);
  });

  test('processes all together, and finds the one that fails', async () => {
    const { troubles } = world();
    const done: number[] = [];
    await troubles.together('telling', [1, 2, 3, 4, 5], key, refusing(new Set([4]), done));
    expect(done).toEqual([1, 2, 3, 5]);
    expect(troubles.of('4')?.message).toBe('telling failed: one of them is bad');
  });

  test('logs the same error once in ten minutes, however often it occurs', async () => {
    const { troubles, lines, clock } = world();
    for (let pass = 0; pass < 1_000; pass += 1) {
      clock.time += 1_000;
      troubles.note('steering', 'ada', new Error('still bad'));
    }
    expect(lines).toHaveLength(2);
    expect(troubles.of('ada')?.since).toBe(1_001);
  });

  test('stops for errors that concern all subjects: a missing database is not the error of one host', async () => {
    const { troubles } = world();
    const away = new FloeError('STORE_UNREACHABLE', 'away', { retryable: true });
    await expect(troubles.each('steering', ['ada'], key, async () => Promise.reject(away))).rejects.toBe(away);
    expect(troubles.of('ada')).toBeUndefined();
  });
});
