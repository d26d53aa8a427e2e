import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AWAY_GRACE_MS, countRollout, isComplete, hasUnreportedTrouble, isBrieflyAway } from './rollout-state.ts';
import { HOST_STANDINGS, needsAction } from './standing.ts';

describe('the counts of a rollout', () => {
  test('every host is counted once (O1)', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...HOST_STANDINGS)), (standings) => {
        const { total, ...counts } = countRollout(standings);
        expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(total);
        expect(total).toBe(standings.length);
      }),
    );
  });
});

describe('a rollout is complete', () => {
  test.each([
    ['when all hosts run it', ['in-sync', 'in-sync'], true],
    [
      'while others wait, are away, are not enrolled or are kept by their users (O3)',
      ['in-sync', 'waiting', 'local-override', 'away', 'not-enrolled', 'behind'],
      true,
    ],
    ['although one of its hosts drifted', ['in-sync', 'drifted'], true],
    ['not while one is under way', ['in-sync', 'under-way'], false],
    ['not when one failed', ['in-sync', 'failed'], false],
    ['not when one rolled back', ['in-sync', 'rolled-back'], false],
    ['not while no host runs it, because all are away', ['away', 'away'], false],
    ['not while no host runs it, because all wait', ['waiting', 'local-override'], false],
    ['when no host could run it', [], true],
  ] as const)('%s', (_, standings, expected) => {
    expect(isComplete(countRollout(standings))).toBe(expected);
  });

  test('not while hosts are away for less than the grace period', () => {
    const counts = countRollout(['in-sync', 'away']);
    expect([isComplete(counts, 1), isComplete(counts, 0)]).toEqual([false, true]);
    expect([isBrieflyAway(1_000, 1_000), isBrieflyAway(1_000, 1_000 + AWAY_GRACE_MS), isBrieflyAway(undefined, 5)]).toEqual([true, false, false]);
    // Another clock's time, within the grace period; a time hours ahead counts as long ago.
    expect(isBrieflyAway(9e9, 1_000)).toBe(false);
  });
});

test('a host that needs attention makes the rollout a failure, unless another status of the commit reports it', () => {
  for (const standing of HOST_STANDINGS) {
    const isToldElsewhere = standing === 'behind' || standing === 'removed';
    expect(hasUnreportedTrouble(countRollout([standing]))).toBe(needsAction(standing) && !isToldElsewhere);
  }
});
