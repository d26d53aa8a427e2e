import fc from 'fast-check';
import { expect, test } from 'vitest';
import { withoutFuture } from './future.ts';
import { emptyJournal, type AgentJournal } from './journal.ts';

const HOUR = 3600_000;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;
const NOW = Date.UTC(2026, 10, 1);

function journal(changes: Partial<AgentJournal>): AgentJournal {
  return { ...emptyJournal(NOW), ...changes };
}
const deferral = { since: NOW - HOUR, restartSince: null, laterCount: 1, laterUntil: NOW + HOUR, isOverruled: false };

test('correct times are not changed', () => {
  for (const each of [journal({}), journal({ deferral, override: { toplevel: null, since: NOW - DAY, by: 'switch' } })]) {
    expect(withoutFuture(each, NOW)).toBe(each);
  }
});

test('a wait that began while the clock was a year ahead keeps its length', () => {
  const ahead = { ...deferral, since: NOW + YEAR, restartSince: NOW + YEAR, laterUntil: NOW + YEAR + 2 * HOUR };
  expect(withoutFuture(journal({ deferral: ahead }), NOW).deferral).toEqual({ ...ahead, since: NOW, restartSince: NOW, laterUntil: NOW + 2 * HOUR });
  // Only the "later" was dated by that clock.
  expect(withoutFuture(journal({ deferral: { ...deferral, laterUntil: NOW + YEAR } }), NOW).deferral).toEqual({ ...deferral, laterUntil: null });
});

test('an override that is dated a year ahead begins now', () => {
  const override = { toplevel: null, since: NOW + YEAR, by: 'rollback' } as const;
  expect(withoutFuture(journal({ override }), NOW).override).toEqual({ ...override, since: NOW });
});

test('no time is far in the future afterwards, and a second correction changes nothing', () => {
  const anyTime = fc.integer({ min: NOW - YEAR, max: NOW + 3 * YEAR });
  const anyDeferral = fc.record({
    since: anyTime,
    restartSince: fc.option(anyTime),
    laterCount: fc.nat(3),
    laterUntil: fc.option(anyTime),
    isOverruled: fc.boolean(),
  });
  const anyOverride = fc.record({ toplevel: fc.constant(null), since: anyTime, by: fc.constantFrom('rollback' as const, 'switch' as const) });
  fc.assert(
    fc.property(fc.option(anyDeferral), fc.option(anyOverride), (some, override) => {
      const next = withoutFuture(journal({ deferral: some, override }), NOW);
      const times = [next.deferral?.since, next.deferral?.restartSince, next.override?.since].filter((at) => at != null);
      expect(Math.max(...times, 0)).toBeLessThanOrEqual(NOW + HOUR);
      expect(next.deferral?.laterUntil ?? 0).toBeLessThanOrEqual(NOW + 31 * DAY);
      expect(withoutFuture(next, NOW)).toBe(next);
    }),
  );
});
