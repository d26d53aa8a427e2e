import type { RingWindow } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { MAX_PIECES } from './look-budget.ts';
import type { TimeSpan } from './time-spans.ts';
import { ringWindowState } from './windows.ts';
import { yearOfWindows } from './windows-year.ts';

const counted = vi.hoisted(() => ({ pieces: 0, clocks: 0, asked: 0 }));

vi.mock('./time-spans.ts', async (importOriginal) => {
  const real = await importOriginal<typeof import('./time-spans.ts')>();
  function* counting(spans: Iterable<TimeSpan>): Generator<TimeSpan> {
    for (const span of spans) {
      counted.pieces += 1;
      yield span;
    }
  }
  return {
    ...real,
    joinSpans: (spans: Iterable<TimeSpan>, within: TimeSpan) => real.joinSpans(counting(spans), within),
    uniteSpans: (lists: readonly (readonly TimeSpan[])[], within: TimeSpan) =>
      real.uniteSpans(
        lists.map((list) => [...counting(list)]),
        within,
      ),
    subtractSpans: (spans: readonly TimeSpan[], without: readonly TimeSpan[]) => real.subtractSpans([...counting(spans)], [...counting(without)]),
  };
});

// A spy would keep millions of answers.
vi.mock('croner', async (importOriginal) => {
  const real = await importOriginal<typeof import('croner')>();
  class CountedCron extends real.Cron {
    override nextRun(...of: Parameters<InstanceType<typeof real.Cron>['nextRun']>): Date | null {
      counted.asked += 1;
      return super.nextRun(...of);
    }
  }
  return { ...real, Cron: CountedCron };
});

const NOW = Date.parse('2026-11-02T12:00Z');
const MINUTE_MS = 60_000;
const ZONES = ['UTC', ...Intl.supportedValuesOf('timeZone')];

class CountedFormat extends Intl.DateTimeFormat {
  override formatToParts(...of: Parameters<Intl.DateTimeFormat['formatToParts']>): Intl.DateTimeFormatPart[] {
    counted.clocks += 1;
    return super.formatToParts(...of);
  }
}
vi.stubGlobal('Intl', Object.create(Intl, { DateTimeFormat: { value: CountedFormat } }));

/** What looking at all windows of a policy took, as the server does it: whether each ring opens, then why not. */
function costOf(rings: readonly (readonly RingWindow[])[]): { readonly pieces: number; readonly clocks: number; readonly asked: number } {
  Object.assign(counted, { pieces: 0, clocks: 0, asked: 0 });
  const year = yearOfWindows(NOW);
  for (const windows of rings) year.neverOpens([windows]);
  for (const windows of rings) year.problems(windows);
  return { ...counted };
}

describe('the windows of a policy', () => {
  const days = fc.constantFrom('* * *', '1-31 * *', '* * mon-fri', '31 2 *', '30 2 *', '31 2,4 *', '1-30/2 * *', '* 1-6 0-6');
  const times = fc.constantFrom('*/2 *', '1-59/2 *', '*/3 *', '0,30 *', '0 2', '* *', '1-58/3 */2');
  const dense: fc.Arbitrary<RingWindow> = fc.record({
    kind: fc.constantFrom('allow', 'deny'),
    cron: fc.tuple(times, days).map((parts) => parts.join(' ')),
    durationMs: fc.constantFrom(MINUTE_MS, 2 * MINUTE_MS, 60 * MINUTE_MS, 7 * 24 * 60 * MINUTE_MS),
    timeZone: fc.constantFrom(...ZONES),
  });
  const ring = fc.tuple(fc.array(dense, { minLength: 1, maxLength: 10 }), fc.integer({ min: 1, max: 5 }));
  const policy = fc.tuple(
    fc.array(
      ring.map(([windows, count]) => Array.from({ length: count }, () => windows).flat()),
      { minLength: 1, maxLength: 4 },
    ),
    fc.integer({ min: 1, max: 5 }),
  );

  // Each piece is found, joined to those beside it, and compared with others.
  const MAX_COUNTED = 5 * MAX_PIECES;

  test('take no more than one budget, whatever they are', () => {
    fc.assert(
      fc.property(policy, ([rings, count]) => {
        const { pieces, clocks, asked } = costOf(Array.from({ length: count }, () => rings).flat());
        expect(pieces).toBeLessThan(MAX_COUNTED);
        expect(clocks).toBeLessThan(MAX_PIECES / 2);
        expect(asked).toBeLessThan(MAX_PIECES / 50);
      }),
      { numRuns: 10 },
    );
  });

  test('take no more than one budget where each minute has one of its own in each zone', () => {
    const windows = ZONES.slice(0, 49).map((timeZone, index): RingWindow => {
      return { kind: 'deny', cron: index % 2 === 0 ? '*/2 * * * *' : '1-59/2 * * * *', durationMs: MINUTE_MS, timeZone };
    });
    const closed: readonly RingWindow[] = [{ kind: 'allow', cron: '0 2 * * *', durationMs: MINUTE_MS, timeZone: 'UTC' }, ...windows];
    expect(costOf(Array.from({ length: 20 }, () => closed)).pieces).toBeLessThan(MAX_COUNTED);
    expect(yearOfWindows(NOW).neverOpens([closed])).toBeUndefined();
    expect(yearOfWindows(NOW).problems(closed)).toBeUndefined();
  });

  test('of an ordinary fleet are all looked at, also where rings never open', () => {
    const night = (hour: number): RingWindow => ({ kind: 'allow', cron: `0 ${hour} * * *`, durationMs: 60 * MINUTE_MS, timeZone: 'Europe/Berlin' });
    const denied: RingWindow = { ...night(0), kind: 'deny', durationMs: 24 * 60 * MINUTE_MS };
    const never: RingWindow = { ...night(3), cron: '0 3 31 2 *' };
    const year = yearOfWindows(NOW);
    const rings = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? [night(2), night(4), night(6)] : [night(2), never, denied]));
    expect(rings.map((windows) => year.neverOpens([windows]))).toEqual(rings.map((_, index) => index % 2 === 1));
    expect(rings.map((windows) => year.problems(windows)?.length)).toEqual(rings.map((_, index) => (index % 2 === 1 ? 2 : 0)));
  });

  test('that open once in the year are not taken for some that never do, however often others deny', () => {
    const often = (cron: string): RingWindow => ({ kind: 'deny', cron, durationMs: MINUTE_MS, timeZone: 'UTC' });
    const windows: readonly RingWindow[] = [
      { kind: 'allow', cron: '0 2 1 10 *', durationMs: 60 * MINUTE_MS, timeZone: 'UTC' },
      often('*/2 * * * *'),
      often('*/3 * * * *'),
    ];
    expect(yearOfWindows(NOW).neverOpens([windows])).not.toBe(true);
  });

  test('that hosts have in hundreds of time zones keep a ring closed where they cannot be looked at', () => {
    const given = ZONES.map((timeZone) =>
      Array.from({ length: 50 }, (): RingWindow => ({ kind: 'deny', cron: '*/2 * * * *', durationMs: MINUTE_MS, timeZone })),
    );
    counted.pieces = 0;
    expect(ringWindowState(given, NOW)).toEqual({ isOpen: false, problem: expect.stringContaining('too often') });
    expect(counted.pieces).toBeLessThan(10 * MAX_COUNTED);
  });
});
