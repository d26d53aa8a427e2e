import { describe, expect, test } from 'vitest';
import { AGENT_STATES } from './agent/state.ts';
import type { HostName, StorePath } from './brands.ts';
import { EVALUATION_OUTCOMES } from './evaluation.ts';
import { NOTHING_OBSERVED } from './observed.ts';
import type { Desired } from './resolve.ts';
import { REVISION_STATES } from './revision-state.ts';
import { HOST_STANDINGS, isLocalOverride, needsPerson, offerOf, standingOf, type HostFacts, type Offer } from './standing.ts';

const wanted = '/nix/store/wanted' as StorePath;
const other = '/nix/store/other' as StorePath;
const onWanted = { current: wanted, booted: other, profile: { generation: 2, toplevel: wanted } };
const onOther = { current: other, booted: other, profile: { generation: 1, toplevel: other } };
const release = { id: '1', host: 'ada' as HostName, sequence: 1, toplevel: wanted };
const desired: Desired = { kind: 'release', release, because: 'rollout' };
const putBack: Desired = { kind: 'quarantined', release };
const pinned: Desired = { kind: 'release', release, because: 'pin' };
const offered: Offer = { kind: 'release', toplevel: wanted };

const host: HostFacts = {
  enrolment: 'enrolled',
  isConnected: true,
  observed: onOther,
  state: 'IDLE',
  subject: undefined,
  isOverridden: false,
  isToRetry: false,
  desired,
  offer: offered,
};
const of = (changes: Partial<HostFacts>) => standingOf({ ...host, ...changes });

describe('a host', () => {
  test('is in sync only when it runs the toplevel and starts it next time', () => {
    expect(of({ observed: onWanted })).toBe('in-sync');
    expect(of({ observed: { ...onWanted, profile: { generation: 1, toplevel: other } } })).toBe('under-way');
    expect(of({ observed: { ...onWanted, current: other } })).toBe('under-way');
  });
  test('whose agent reports success without the observation has drifted', () => {
    expect(of({ state: 'SUCCEEDED', subject: wanted })).toBe('drifted');
    expect(of({ state: 'SUCCEEDED', subject: other })).toBe('under-way');
  });
  test('is away when it is not here, and still in sync when it was seen so', () => {
    expect(of({ isConnected: false })).toBe('away');
    expect(of({ isConnected: false, observed: onWanted })).toBe('in-sync');
  });
  test('rolled back what it is to run, whatever it does since', () => {
    expect(of({ state: 'ROLLED_BACK', subject: wanted })).toBe('rolled-back');
    expect(of({ state: 'ROLLED_BACK', subject: other })).toBe('under-way');
    expect(of({ desired: putBack, state: 'SUCCEEDED', subject: other })).toBe('rolled-back');
    expect(of({ desired: putBack, isConnected: false })).toBe('rolled-back');
  });
  test.each(['BLOCKED', 'ROLLBACK_FAILED', 'REJECTED'] as const)('failed while it is %s, here or not', (state) => {
    expect(of({ state, subject: wanted })).toBe('failed');
    expect(of({ state, subject: wanted, isConnected: false })).toBe('failed');
    expect(of({ state, subject: other })).toBe('under-way');
  });
  test('failed when it could not even read what it was told (an expired directive, an unknown key)', () => {
    expect(of({ state: 'REJECTED', subject: undefined })).toBe('failed');
  });
  test('is under way, whatever it runs, until the verdict about it is passed (O2)', () => {
    expect(of({ observed: onWanted, state: 'BOOT_VERIFYING', subject: wanted })).toBe('under-way');
    expect(of({ observed: onWanted, state: 'BOOT_VERIFYING', subject: wanted, isConnected: false })).toBe('away');
    expect(of({ observed: onWanted, state: 'VERIFYING', subject: other })).toBe('in-sync');
  });
  test.each(['DEFERRED', 'BOOT_STAGED'] as const)('waits while it is %s, as long as it is here and that is about this toplevel (O3)', (state) => {
    expect(of({ state, subject: wanted })).toBe('waiting');
    expect(of({ state, subject: other })).toBe('under-way');
    expect(of({ state, subject: wanted, isConnected: false })).toBe('away');
  });
  test('is kept by its user, here or not, and whatever was wanted then', () => {
    expect(of({ isOverridden: true, subject: other })).toBe('local-override');
    expect(of({ isOverridden: true, isConnected: false })).toBe('local-override');
    expect(of({ isOverridden: true, observed: onWanted })).toBe('in-sync');
    expect(isLocalOverride('IDLE', { code: 'LOCAL_OVERRIDE' })).toBe(true);
    expect(isLocalOverride('IDLE', { code: 'HELD' })).toBe(false);
    expect(isLocalOverride('OFFERED', { code: 'LOCAL_OVERRIDE' })).toBe(false);
  });
  test('is under way, or away, from the moment that an administrator has it try again (O6)', () => {
    for (const before of [
      { isOverridden: true },
      { state: 'ROLLED_BACK' },
      { state: 'REJECTED' },
      { state: 'BLOCKED' },
      { state: 'SUCCEEDED' },
    ] as const) {
      expect(of({ ...before, subject: wanted, isToRetry: true })).toBe('under-way');
      expect(of({ ...before, subject: wanted, isToRetry: true, isConnected: false })).toBe('away');
    }
  });
  test('is behind when the revision has nothing for it, whatever it does with what it has', () => {
    const offer: Offer = { kind: 'none', because: 'host' };
    expect(of({ offer, observed: onWanted })).toBe('behind');
    expect(of({ offer, isConnected: false })).toBe('behind');
    expect(of({ offer, enrolment: 'none' })).toBe('behind');
    expect(of({ offer, enrolment: 'revoked' })).toBe('revoked');
    expect(of({ offer, enrolment: 'cloned' })).toBe('cloned');
  });
  test('is behind when the newest revision failed as a whole, and nothing that nobody enrolled', () => {
    const offer: Offer = { kind: 'none', because: 'revision' };
    expect(of({ offer, observed: onWanted })).toBe('behind');
    expect(of({ offer, enrolment: 'none' })).toBe('not-enrolled');
  });
  test('is pinned where a pin keeps it on another system than the revision has for it', () => {
    expect(of({ desired: pinned, observed: onWanted, offer: { kind: 'release', toplevel: other } })).toBe('pinned');
    expect(of({ desired: pinned, observed: onWanted })).toBe('in-sync');
    expect(of({ desired: pinned, offer: { kind: 'release', toplevel: other } })).toBe('under-way');
  });
});

test('what a revision has for a host follows from its evaluation and the end that the revision came to', () => {
  expect(offerOf('PUBLISHED', { outcome: 'CHANGED', toplevel: wanted })).toEqual(offered);
  // Late: it builds by now, and is not released yet.
  expect(offerOf('PUBLISHED', { outcome: 'CHANGED', toplevel: wanted, retryAt: 5 })).toEqual({ kind: 'none', because: 'host' });
  expect(offerOf('BUILD_FAILED', { outcome: 'UNCHANGED', toplevel: wanted })).toEqual(offered);
  expect(offerOf('BUILD_FAILED', { outcome: 'NEW', toplevel: wanted })).toEqual({ kind: 'none', because: 'revision' });
  expect(offerOf('EVAL_FAILED', undefined)).toEqual({ kind: 'none', because: 'revision' });
  expect(offerOf('PUBLISHED', undefined)).toEqual({ kind: 'unknown' });
  for (const state of REVISION_STATES)
    for (const outcome of EVALUATION_OUTCOMES) expect(offerOf(state, { outcome, toplevel: wanted }).kind).toBeTypeOf('string');
});

const VALUES = {
  enrolment: ['none', 'enrolled', 'revoked', 'cloned'],
  isConnected: [true, false],
  observed: [NOTHING_OBSERVED, onWanted, onOther],
  state: AGENT_STATES,
  subject: [wanted, other, undefined],
  isOverridden: [true, false],
  isToRetry: [true, false],
  desired: [{ kind: 'nothing' }, desired, putBack, pinned],
  offer: [
    offered,
    { kind: 'release', toplevel: other },
    { kind: 'none', because: 'host' },
    { kind: 'none', because: 'revision' },
    { kind: 'removed' },
    { kind: 'unknown' },
  ],
} as const satisfies { readonly [Fact in keyof HostFacts]: readonly HostFacts[Fact][] };

/** Every combination of facts: 117,504. */
function* allFacts(): Generator<HostFacts> {
  let all: Partial<HostFacts>[] = [{}];
  for (const [fact, values] of Object.entries(VALUES)) all = all.flatMap((facts) => values.map((value) => ({ ...facts, [fact]: value })));
  for (const facts of all) yield { ...host, ...facts };
}

test('every combination of facts has one standing, and every standing some facts (S1)', () => {
  const seen = new Set<string>();
  for (const facts of allFacts()) seen.add(standingOf(facts));
  expect([...seen].toSorted()).toEqual([...HOST_STANDINGS].toSorted());
});

test('nobody who is told nothing is under way, and no quarantine is passed over in silence (S2)', () => {
  const wrong = [...allFacts()].filter((facts) => {
    const standing = standingOf(facts);
    const isMoving = /under-way|waiting|drifted|failed/.test(standing);
    const isPutBack = facts.enrolment === 'enrolled' && facts.desired.kind === 'quarantined' && facts.observed !== onWanted;
    return (facts.desired.kind !== 'release' && isMoving) || (isPutBack && !needsPerson(standing));
  });
  expect(wrong).toEqual([]);
});
