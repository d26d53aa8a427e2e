import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MINUTE, policyOf } from '../test/rollout-facts.ts';
import { anyPolicy } from '../test/rollout-policies.ts';
import { belowFloor, OPEN_RING, type PolicyFloor } from './floor.ts';
import type { RingPolicy, RolloutPolicy } from './policy.ts';
import { weakerGates } from './weaker.ts';

const NO_FLOOR: PolicyFloor = { rings: 1, firstRing: OPEN_RING, maxInFlight: undefined, checks: [] };
const ring = (over: Partial<RingPolicy>, rest: Partial<RolloutPolicy> = {}) => policyOf(2, [{ ...OPEN_RING, ...over }], rest);

describe('a floor', () => {
  test('is kept by each policy that is not weaker in its first ring, and its limit, and names each gate that is', () => {
    fc.assert(
      fc.property(anyPolicy, anyPolicy, ({ rings: [asked = OPEN_RING], maxInFlight }, policy) => {
        const floor = { ...NO_FLOOR, firstRing: asked, maxInFlight };
        const found = belowFloor(floor, policy);
        const weaker = weakerGates(asked, policy.rings[0] ?? OPEN_RING);
        const isMore = (policy.maxInFlight ?? Infinity) > (maxInFlight ?? Infinity);
        expect(found.length).toBe(weaker.length + (isMore ? 1 : 0));
        expect(belowFloor(floor, { ...policy, maxInFlight, rings: [asked] })).toEqual([]);
        expect(belowFloor(NO_FLOOR, policy)).toEqual([]);
      }),
    );
  });

  test.each<[floor: Partial<PolicyFloor>, policy: RolloutPolicy, said: string]>([
    [{ firstRing: { ...OPEN_RING, soakMs: 60 * MINUTE } }, ring({}), 'rings[0].soak: no soak; the floor is soak 1 h'],
    [
      { firstRing: { ...OPEN_RING, minVerified: 2 } },
      ring({ minVerified: 1 }),
      'rings[0].minVerified: at least 1 verified; the floor is at least 2 verified',
    ],
    [
      { firstRing: { ...OPEN_RING, approvals: { count: 1, role: 'approver', notAuthor: false } } },
      ring({}),
      'rings[0].approvals: no approval; the floor is 1 approval (approver or higher)',
    ],
    [{ maxInFlight: 5 }, ring({}, { maxInFlight: undefined }), 'maxInFlight: no limit; the floor is at most 5'],
    [{ maxInFlight: 5 }, ring({}, { maxInFlight: 6 }), 'maxInFlight: 6; the floor is at most 5'],
    [{ checks: ['a', 'b'] }, ring({}, { checks: ['a'] }), 'checks: "b" is not among them; the floor names it'],
    [{ rings: 3 }, ring({}), 'rings: 2 rings; the floor is 3 rings'],
  ])('%j', (floor, policy, said) => {
    expect(belowFloor({ ...NO_FLOOR, ...floor }, policy)).toEqual([said]);
  });
});
