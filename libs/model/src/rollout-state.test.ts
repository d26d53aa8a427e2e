import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AWAY_GRACE_MS, countRollout, isComplete, isInTrouble, isLeaving } from './rollout-state.ts';
import { HOST_STANDINGS, needsPerson } from './standing.ts';

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
    ['when all run it', ['in-sync', 'in-sync'], true],
    ['while others wait, are away, not enrolled or kept (O3)', ['in-sync', 'waiting', 'local-override', 'away', 'not-enrolled', 'behind'], true],
    ['though somebody changed a host that had it', ['in-sync', 'drifted'], true],
    ['not while one is under way', ['in-sync', 'under-way'], false],
    ['not when one failed', ['in-sync', 'failed'], false],
    ['not when one rolled back', ['in-sync', 'rolled-back'], false],
    ['not while nobody runs it, because all are away (O4)', ['away', 'away'], false],
    ['not while nobody runs it, because all wait', ['waiting', 'local-override'], false],
    ['when there is no host that could', [], true],
  ] as const)('%s', (_, standings, expected) => {
    expect(isComplete(countRollout(standings))).toBe(expected);
  });

  test('not while hosts are away for so short a time that they may be back at once', () => {
    const counts = countRollout(['in-sync', 'away']);
    expect([isComplete(counts, 1), isComplete(counts, 0)]).toEqual([false, true]);
    expect([isLeaving(1_000, 1_000), isLeaving(1_000, 1_000 + AWAY_GRACE_MS), isLeaving(undefined, 5)]).toEqual([true, false, false]);
    // Another clock's time: it is not away for hours to come.
    expect(isLeaving(9e9, 1_000)).toBe(false);
  });
});

test('what needs a person makes the rollout a failure, but what another status of the commit says already', () => {
  for (const standing of HOST_STANDINGS) {
    const isToldElsewhere = standing === 'behind' || standing === 'removed';
    expect(isInTrouble(countRollout([standing]))).toBe(needsPerson(standing) && !isToldElsewhere);
  }
});
