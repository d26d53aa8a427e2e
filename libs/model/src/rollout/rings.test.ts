import { expect, test } from 'vitest';
import { factsOf, policyOf } from '../test/rollout-facts.ts';
import { beginRollout } from './course.ts';
import type { RolloutDecision } from './decide.ts';
import { unaskedIn } from './rings.ts';

const TWO = policyOf(2);
const complete: RolloutDecision = { course: { ...beginRollout(0), state: 'COMPLETE', ring: 1, provedRing: 0 }, steps: [] };

test('one failed laptop, or one that is away, keeps stable of nobody from advancing, its own neither (O4)', () => {
  const { hosts } = factsOf(TWO, ['c:0 verified', 'f:1 failed', 'a:1 away', 'w:1 waiting', 'n:1 away-', 'v:1 verified']);
  expect(unaskedIn(complete, { policy: TWO, hosts })).toEqual([]);
});

test('of what is complete nothing is stable for those who were not asked: kept elsewhere, or of a ring without its approvals (O26)', () => {
  const { hosts } = factsOf(TWO, ['c:0 away', 'd:0 verified', 'k:1 away-', 'l:1 verified-', 'v:1 verified']);
  const kept = hosts.map((host) => ({ ...host, isKept: !host.isEligible }));
  expect(unaskedIn(complete, { policy: TWO, hosts: kept })).toEqual(['k']);
  expect(unaskedIn({ ...complete, course: { ...complete.course, unapproved: [0] } }, { policy: TWO, hosts: kept })).toEqual(['c', 'k']);
  // One ring without approvals has nothing that they could pass over.
  expect(unaskedIn(complete, { policy: policyOf(1), hosts: kept })).toEqual([]);
});
