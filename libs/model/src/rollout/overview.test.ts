import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { factsOf, HOUR, MINUTE, policyOf } from '../test/rollout-facts.ts';
import { beginRollout, type RolloutCourse } from './course.ts';
import { decideRollout } from './decide.ts';
import { overviewOfRings } from './overview.ts';

const order = { by: 'ada', role: 'administrator', reason: 'because', at: 0 } as const;
const at = (state: RolloutCourse['state'], ring: number, over: Partial<RolloutCourse> = {}): RolloutCourse => ({
  ...beginRollout(0),
  state,
  ring,
  ...over,
});

describe('the rings of a rollout', () => {
  test('have passed, are current, or are to come, and count their own hosts', () => {
    const facts = factsOf(policyOf(3), ['a:0 verified', 'b:1 in-flight', 'c:1 failed', 'd:2 to-come', 'e:2 away', 'f:2 away-']);
    const rings = overviewOfRings(at('ROLLING', 1, { provedRing: 0 }), facts);
    expect(rings.map(({ name, state }) => `${name} ${state}`)).toEqual(['ring-0 passed', 'ring-1 current', 'ring-2 to-come']);
    expect(rings.map(({ counts }) => counts.eligible)).toEqual([1, 2, 2]);
    expect(rings[1]?.counts).toMatchObject({ inFlight: 1, failed: 1 });
    expect(overviewOfRings(at('COMPLETE', 2), facts).every(({ state }) => state === 'passed')).toBe(true);
    expect(overviewOfRings(at('ABORTED', 1), facts).map(({ state }) => state)).toEqual(['passed', 'current', 'to-come']);
  });

  test('say when the soak ends, which is when the rollout goes on', () => {
    const facts = factsOf(policyOf(2), ['a:0 verified', 'b:1 to-come']);
    const soaking = at('SOAKING', 0, { since: 5, provedRing: 0 });
    const until = overviewOfRings(soaking, facts)[0]?.soakUntil ?? 0;
    expect(until).toBe(5 + 30 * MINUTE);
    expect(decideRollout(soaking, facts, until - 1).steps).toEqual([]);
    expect(decideRollout(soaking, facts, until).course.ring).toBe(1);
    const hotfix = factsOf(policyOf(2), ['a:0 verified'], { hotfix: order });
    expect(overviewOfRings(soaking, hotfix)[0]?.soakUntil).toBeUndefined();
  });

  test('say which approvals they need: those of the first ring, where it is the first that changes', () => {
    const approvals = { count: 1, role: 'approver', notAuthor: false } as const;
    const policy = policyOf(3, [{ approvals }, {}, { approvals: { ...approvals, count: 2 } }]);
    const needs = (course: RolloutCourse, given: Parameters<typeof factsOf>[2] = {}) =>
      overviewOfRings(course, factsOf(policy, ['a:0 to-come', 'b:1 to-come', 'c:2 to-come'], given)).map((ring) => ring.missingApprovals?.count ?? 0);
    expect(needs(at('WAITING_APPROVAL', 0))).toEqual([1, 0, 2]);
    expect(needs(at('WAITING_APPROVAL', 0), { approvals: [{ ...order, ring: 0 }] })).toEqual([0, 0, 2]);
    expect(needs(at('WAITING_APPROVAL', 1))).toEqual([0, 1, 2]);
    expect(needs(at('ROLLING', 1, { provedRing: 0 }))).toEqual([0, 0, 2]);
  });

  test('agree with the decision: a ring without missing approvals is not the one that waits for them', () => {
    const progress = fc.constantFrom('verified', 'to-come', 'in-flight', 'away', 'failed!', 'to-come-');
    fc.assert(
      fc.property(fc.tuple(progress, progress, progress), fc.nat(2), fc.nat(2), fc.nat(3), (hosts, needing, given, hours) => {
        const policy = policyOf(3, [{}, {}, {}].with(needing, { approvals: { count: 1, role: 'approver', notAuthor: false } }));
        const facts = factsOf(
          policy,
          hosts.map((each, ring) => `${'abc'[ring] ?? ''}:${ring} ${each}`),
          { approvals: [{ ...order, ring: given }] },
        );
        const { course } = decideRollout(beginRollout(0), facts, hours * HOUR);
        const rings = overviewOfRings(course, facts);
        const current = rings.find(({ state }) => state === 'current');
        if (course.state === 'WAITING_APPROVAL' && current?.counts.eligible !== 0) expect(current?.missingApprovals).toBeDefined();
        if (course.state === 'SOAKING') expect(current?.counts.verified).toBeGreaterThanOrEqual(current?.needed ?? 0);
      }),
    );
  });
});
