import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PRESENCES, presenceOf, type PresenceFacts } from './presence.ts';
import { DEFAULT_PRESENCE } from './rollout/policy.ts';

const DAY_MS = 24 * 3600_000;
const NOW = 1_790_000_000_000;
const judge = (over: Partial<PresenceFacts>, now = NOW) =>
  presenceOf({ isConnected: false, lastSeenAt: NOW, enrolledAt: NOW - 365 * DAY_MS, ...over }, DEFAULT_PRESENCE, now).presence;

const anyTime = fc.oneof(fc.integer({ min: 0, max: 7_258_118_400_000 }), fc.constantFrom(0, NOW, Number.NaN, Infinity, -Infinity, -1, 1e300));
const anyFacts = fc.record({
  isConnected: fc.boolean(),
  lastSeenAt: fc.option(anyTime, { nil: undefined }),
  enrolledAt: fc.option(anyTime, { nil: undefined }),
});
const anyLimits = fc.record({ staleMs: fc.nat(400 * DAY_MS), lostMs: fc.nat(400 * DAY_MS) });

describe('presence', () => {
  test.each([
    [0, 'away'],
    [7 * DAY_MS - 1, 'away'],
    [7 * DAY_MS, 'stale'],
    [30 * DAY_MS - 1, 'stale'],
    [30 * DAY_MS, 'lost'],
    [9_000 * DAY_MS, 'lost'],
  ] as const)('after %d ms of silence it is %s', (silentMs, presence) => {
    expect(judge({ lastSeenAt: NOW - silentMs })).toBe(presence);
    // One that was never heard of is missed from its enrolment on.
    expect(judge({ lastSeenAt: undefined, enrolledAt: NOW - silentMs })).toBe(presence);
  });

  test('who is connected is online, whatever its times are', () => {
    fc.assert(
      fc.property(
        anyFacts,
        anyLimits,
        anyTime,
        (facts, limits, now) => presenceOf({ ...facts, isConnected: true }, limits, now).presence === 'online',
      ),
    );
  });

  test('nobody misses a host that has no enrolment, or one whose enrolment was revoked', () => {
    fc.assert(
      fc.property(anyFacts, anyLimits, anyTime, (facts, limits, now) =>
        ['online', 'away'].includes(presenceOf({ ...facts, enrolledAt: undefined }, limits, now).presence),
      ),
    );
  });

  test('a time ahead of the clock, or one that is no number, makes nobody stale or lost', () => {
    expect(judge({ lastSeenAt: NOW + 400 * DAY_MS })).toBe('away');
    expect(judge({ lastSeenAt: Number.NaN })).toBe('away');
    expect(judge({}, Number.NaN)).toBe('away');
  });

  test('a host that is enrolled again starts again', () => {
    expect(judge({ lastSeenAt: NOW - 90 * DAY_MS, enrolledAt: NOW - 60_000 })).toBe('away');
  });

  test('silence only ever makes it worse, at the time that was said', () => {
    fc.assert(
      fc.property(anyFacts, anyLimits, anyTime, fc.nat(800 * DAY_MS), (facts, limits, now, laterMs) => {
        const before = presenceOf(facts, limits, now);
        const after = presenceOf(facts, limits, now + laterMs);
        expect(PRESENCES.indexOf(after.presence)).toBeGreaterThanOrEqual(PRESENCES.indexOf(before.presence));
        // Beyond the bounds of times nothing can be counted by ms.
        if (before.changesAt === undefined || !Number.isSafeInteger(now) || !Number.isSafeInteger(before.changesAt)) return;
        expect(before.changesAt).toBeGreaterThan(now);
        expect(presenceOf(facts, limits, before.changesAt - 1).presence).toBe(before.presence);
        expect(presenceOf(facts, limits, before.changesAt).presence).not.toBe(before.presence);
      }),
    );
  });
});
