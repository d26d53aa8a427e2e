import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AWAY_GRACE_MS, countRollout, hasUnreportedTrouble, isBrieflyAway } from './rollout-state.ts';
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

test('a host is briefly away for the grace period, by whichever clock', () => {
  expect([isBrieflyAway(1_000, 1_000), isBrieflyAway(1_000, 1_000 + AWAY_GRACE_MS), isBrieflyAway(undefined, 5)]).toEqual([true, false, false]);
  // Another clock's time, within the grace period; a time hours ahead counts as long ago.
  expect(isBrieflyAway(9e9, 1_000)).toBe(false);
});

test('a host that needs attention makes the rollout a failure, unless another status of the commit reports it', () => {
  for (const standing of HOST_STANDINGS) {
    const isToldElsewhere = standing === 'behind' || standing === 'not-built' || standing === 'removed';
    expect(hasUnreportedTrouble(countRollout([standing]))).toBe(needsAction(standing) && !isToldElsewhere);
  }
});
