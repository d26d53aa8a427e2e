import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { HostName } from '../brands.ts';
import { resolve, type HostSituation, type ReleaseRef } from '../resolve.ts';
import { ROLLOUT_STATES } from '../rollout-state.ts';
import { loosened } from '../test/loosened.ts';
import { pathOf, policyOf } from '../test/rollout-facts.ts';
import { releaseAhead, type AheadFacts } from './ahead.ts';
import { beginRollout, NO_ORDERS } from './course.ts';

const release = (sequence: number): ReleaseRef => ({ id: `r${sequence}`, host: 'ada' as HostName, sequence, toplevel: pathOf(`system-${sequence}`) });
const policy = policyOf(2);
const facts: AheadFacts = { course: { ...beginRollout(0), state: 'ROLLING', ring: 0 }, policy, weaker: [], orders: NO_ORDERS };
const situation: HostSituation = {
  pin: undefined,
  hold: undefined,
  isRingPromoted: false,
  directed: release(3),
  rollout: release(4),
  stable: release(3),
  quarantined: new Set(),
};

test('a host whose ring is to come downloads what its ring will be told', () => {
  expect(releaseAhead(situation, facts)).toEqual(release(4));
});

test('nothing is downloaded ahead where the policy does not want it', () => {
  expect(releaseAhead(situation, { ...facts, policy: { ...policy, downloads: { ahead: false, spreadMs: 0 } } })).toBeUndefined();
});

test('nor where a person keeps the host elsewhere, nor what it has or rolled back', () => {
  for (const other of [
    { pin: release(2) },
    { hold: release(3) },
    { isRingPromoted: true },
    { rollout: undefined },
    { rollout: { ...release(4), toplevel: release(3).toplevel } },
    { quarantined: new Set([release(4).toplevel]) },
    { directed: release(5) },
  ])
    expect(releaseAhead({ ...situation, ...other }, facts)).toBeUndefined();
});

test('the states of a rollout in which releases are on their way, approved or not, are those with downloads ahead', () => {
  const hinted = ROLLOUT_STATES.filter((state) => releaseAhead(situation, { ...facts, course: { ...facts.course, state } }) !== undefined);
  expect(hinted).toEqual(['WAITING_APPROVAL', 'READY', 'ROLLING', 'SOAKING']);
});

test('a weaker policy counts for nothing before an administrator has approved it', () => {
  const waiting = { ...facts, course: { ...facts.course, state: 'WAITING_APPROVAL' as const } };
  expect(releaseAhead(situation, { ...waiting, weaker: loosened('ring canary: no soak') })).toBeUndefined();
  expect(releaseAhead(situation, { ...waiting, weaker: undefined })).toBeUndefined();
  // The first ring that changed had the approval; what came later has none.
  const approval = { by: 'ada', role: 'administrator' as const, reason: '', at: 1, ring: 0, loosens: ['id of x'] };
  const later = { ...waiting, course: { ...waiting.course, ring: 1, provedRing: 0 }, orders: { approvals: [approval] } };
  expect(releaseAhead(situation, { ...later, weaker: loosened('x') })).toEqual(release(4));
  expect(releaseAhead(situation, { ...later, weaker: loosened('x', 'y') })).toBeUndefined();
});

test('whatever is known of a host, what it downloads ahead is what it would be told in a promoted ring, and is not told now', () => {
  const maybe = fc.option(fc.integer({ min: 1, max: 5 }).map(release), { nil: undefined });
  const situations = fc.record({
    pin: fc.option(fc.integer({ min: 1, max: 5 }).map(release), { nil: undefined, freq: 1 }),
    hold: fc.option(fc.integer({ min: 1, max: 5 }).map(release), { nil: undefined, freq: 1 }),
    isRingPromoted: fc.boolean(),
    directed: maybe,
    rollout: maybe,
    stable: maybe,
    quarantined: fc.subarray([1, 2, 3, 4, 5]).map((some) => new Set(some.map((sequence) => release(sequence).toplevel))),
  });
  fc.assert(
    fc.property(situations, (any) => {
      const ahead = releaseAhead(any, facts);
      if (ahead === undefined) return;
      expect(resolve({ ...any, isRingPromoted: true })).toEqual({ kind: 'release', release: ahead, because: 'rollout' });
      expect(resolve(any)).not.toMatchObject({ release: { toplevel: ahead.toplevel } });
    }),
  );
});
