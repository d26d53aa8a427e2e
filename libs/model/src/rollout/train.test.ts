import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ROLLOUT_STATES } from '../rollout-state.ts';
import { HOUR } from '../test/rollout-facts.ts';
import { mayBeTrain, nextRollout, TRAIN, type NextRollout, type RunningRollout } from './train.ts';

const NOW = 1_000 * HOUR;
const running = (over: Partial<RunningRollout> = {}): RunningRollout => ({
  state: 'ROLLING',
  hasFailures: false,
  superseded: { count: 3, since: NOW - HOUR },
  ...over,
});
const next = (over: Partial<NextRollout> = {}): NextRollout => ({ since: NOW, hasNews: true, isHotfix: false, ...over });
const kindOf = (one: RunningRollout, other = next(), now = NOW): string => nextRollout(one, other, now).kind;

describe('a newer revision', () => {
  test('begins at once, as long as fewer than three in a row were superseded, within a day', () => {
    expect(kindOf(running({ superseded: { count: 2, since: NOW - 23 * HOUR } }))).toBe('begins');
    expect(nextRollout(running(), next(), NOW)).toEqual({ kind: 'waits', for: 'train', until: NOW + 24 * HOUR });
    expect(kindOf(running({ superseded: { count: 0, since: NOW - 24 * HOUR } }))).toBe('waits');
  });

  test('waits only for what gets on, and has no failure that nobody has acknowledged', () => {
    const kinds = ROLLOUT_STATES.map((state) => `${state} ${kindOf(running({ state }))}`);
    expect(kinds.filter((kind) => kind.endsWith('waits'))).toEqual(['ROLLING waits', 'SOAKING waits']);
    expect(kindOf(running({ hasFailures: true }))).toBe('begins');
  });

  test('waits for a day at most, and as a hotfix not at all', () => {
    expect(kindOf(running(), next(), NOW + 24 * HOUR - 1)).toBe('waits');
    expect(kindOf(running(), next(), NOW + 24 * HOUR)).toBe('begins');
    expect(kindOf(running(), next({ isHotfix: true }))).toBe('begins');
  });

  test('without a new release supersedes nothing by itself, and is over with the one before it; as a hotfix it begins', () => {
    for (const state of ROLLOUT_STATES) {
      const begins = state === 'COMPLETE' || state === 'SUPERSEDED';
      const later = NOW + 90 * 24 * HOUR;
      expect(kindOf(running({ state, hasFailures: true }), next({ hasNews: false }), later)).toBe(begins ? 'begins' : 'waits');
      expect(kindOf(running({ state }), next({ hasNews: false, isHotfix: true }), later)).toBe('begins');
    }
  });

  test('with a new release begins within a day, whatever the one before it is doing and however the clock was set', () => {
    const anyTime = fc.integer({ min: NOW - 40 * 24 * HOUR, max: NOW + 40 * 24 * HOUR });
    const anyRunning: fc.Arbitrary<RunningRollout> = fc.record({
      state: fc.constantFrom(...ROLLOUT_STATES),
      hasFailures: fc.boolean(),
      superseded: fc.record({ count: fc.nat({ max: 5 }), since: anyTime }),
    });
    fc.assert(
      fc.property(anyRunning, anyTime, fc.boolean(), (one, since, isHotfix) => {
        const other = next({ since, isHotfix });
        const answer = nextRollout(one, other, NOW);
        if (answer.kind === 'begins') return;
        expect(answer).toMatchObject({ for: 'train' });
        expect(mayBeTrain(one.state, one.superseded, since)).toBe(true);
        if (answer.for === 'train') expect(answer.until - NOW).toBeLessThanOrEqual(TRAIN.ms);
        expect(kindOf(one, { ...other, since: Math.min(since, NOW) }, NOW + TRAIN.ms)).toBe('begins');
      }),
    );
  });
});
