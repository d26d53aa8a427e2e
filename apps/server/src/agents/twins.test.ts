import type { HostName } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TwinWatch } from './twins.ts';

const host = 'ada' as HostName;
const MINUTE_MS = 60_000;

describe('one machine is never taken for two', () => {
  test('however often it reboots and comes back', () => {
    const step = fc.record({ reboots: fc.boolean(), laterMs: fc.nat(MINUTE_MS) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const watch = new TwinWatch();
        let [boot, at] = [0, 0];
        for (const { reboots, laterMs } of steps) {
          at += laterMs;
          if (reboots) boot += 1;
          expect(watch.noteBoot(host, `boot ${boot}`, at)).toBe('one-machine');
        }
      }),
    );
  });

  test('that was restored to a snapshot of its memory now and then', () => {
    const watch = new TwinWatch();
    for (const [at, boot] of ['a', 'b', 'a', 'b', 'a', 'b', 'a'].entries())
      expect(watch.noteBoot(host, boot, at * 45 * MINUTE_MS)).toBe('one-machine');
  });

  test('by two signs, or by three that are far apart', () => {
    const watch = new TwinWatch();
    expect([0, 1, 62, 63, 124].map((minute) => watch.noteBothAnswer(host, minute * MINUTE_MS))).toEqual(Array(5).fill('one-machine'));
  });
});

describe('a copied disk is found', () => {
  test('by machines that take turns', () => {
    const watch = new TwinWatch();
    const verdicts = ['a', 'b', 'c', 'a', 'b', 'c'].map((boot, n) => watch.noteBoot(host, boot, n * MINUTE_MS));
    expect(verdicts).toEqual([...Array<string>(5).fill('one-machine'), 'two-machines']);
  });

  test('by machines that answer at the same time, also when they share a boot id', () => {
    const watch = new TwinWatch();
    expect([1, 2, 3].map((minute) => watch.noteBothAnswer(host, minute * MINUTE_MS))).toEqual(['one-machine', 'one-machine', 'two-machines']);
  });

  test('and once an administrator decided, the old signs count no more', () => {
    const watch = new TwinWatch();
    watch.noteBothAnswer(host, 1);
    watch.noteBothAnswer(host, 2);
    watch.forget(host);
    expect(watch.noteBothAnswer(host, 3)).toBe('one-machine');
  });
});
