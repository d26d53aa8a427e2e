import { describe, expect, test } from 'vitest';
import { ROLLOUT_STATES, type RolloutState } from '../rollout-state.ts';
import { beginRollout, NO_ORDERS, revertOf, type RolloutOrders } from './course.ts';
import { isRingPromoted, promotedRings } from './table.ts';

/** Of a rollout at its second ring, whose first one was proved: how many rings are told to run it. */
const PROMOTED: Readonly<Record<RolloutState, number>> = {
  NEXT: 0,
  WAITING_APPROVAL: 1,
  READY: 1,
  ROLLING: 2,
  SOAKING: 2,
  COMPLETE: 2,
  // They promote nobody, and bring nobody back: what was told stays (D5).
  PAUSED: 0,
  ABORTED: 0,
  SUPERSEDED: 0,
};

describe('who is told to run a rollout (O9)', () => {
  test.each(ROLLOUT_STATES)('in %s', (state) => {
    expect(promotedRings({ state, ring: 1, provedRing: 0 })).toBe(PROMOTED[state]);
    // Rings that were skipped, since none of their hosts changed, promote nobody before the first one that does.
    const isAsked = state === 'WAITING_APPROVAL' || state === 'READY';
    expect(promotedRings({ state, ring: 1, provedRing: undefined })).toBe(isAsked ? 0 : PROMOTED[state]);
  });

  test('no ring that was passed over without its approvals', () => {
    const course = { state: 'ROLLING', ring: 2, provedRing: 1, unapproved: [0] } as const;
    expect([0, 1, 2, 3].map((ring) => isRingPromoted(course, ring))).toEqual([false, true, true, false]);
  });
});

test('hosts go back only by a rollout that was aborted with that order (D5)', () => {
  const said = { by: 'ada', role: 'administrator', reason: 'because', at: 0 } as const;
  const abort = (isRevert?: boolean): RolloutOrders => ({ ...NO_ORDERS, abort: { ...said, ...(isRevert === undefined ? {} : { isRevert }) } });
  for (const state of ROLLOUT_STATES) {
    const course = { ...beginRollout(0), state };
    for (const orders of [NO_ORDERS, abort(), abort(false)]) expect(revertOf({ course, orders }), state).toBeUndefined();
    // Asked for, and not decided yet; or of one that was superseded before it was.
    expect(revertOf({ course, orders: abort(true) }), state).toEqual(state === 'ABORTED' ? { by: 'ada', reason: 'because' } : undefined);
  }
});
