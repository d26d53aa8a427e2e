import { describe, expect, test } from 'vitest';
import { AGENT_STATES } from './agent/state.ts';
import type { HostName, StorePath } from './brands.ts';
import { EVALUATION_OUTCOMES } from './evaluation.ts';
import { NOTHING_OBSERVED } from './observed.ts';
import type { Desired } from './resolve.ts';
import { REVISION_STATES } from './revision-state.ts';
import { HOST_STANDINGS, isLocalOverride, needsAction, offerOf, standingOf, type HostFacts, type Offer } from './standing.ts';

const wanted = '/nix/store/wanted' as StorePath;
const other = '/nix/store/other' as StorePath;
const onWanted = { current: wanted, booted: other, profile: { generation: 2, toplevel: wanted } };
const onOther = { current: other, booted: other, profile: { generation: 1, toplevel: other } };
const release = { id: '1', host: 'ada' as HostName, sequence: 1, toplevel: wanted };
const desired: Desired = { kind: 'release', release, because: 'rollout' };
const quarantined: Desired = { kind: 'quarantined', release };
const onTrial: Desired = { kind: 'release', release: { ...release, toplevel: other }, because: 'trial' };
const pinned: Desired = { kind: 'release', release, because: 'pin' };
const reverting: Desired = { kind: 'release', release, because: 'revert' };
const offered: Offer = { kind: 'release', toplevel: wanted };

const host: HostFacts = {
  enrolment: 'enrolled',
  isConnected: true,
  observed: onOther,
  state: 'IDLE',
  subject: undefined,
  isOverridden: false,
  isRetryPending: false,
  desired,
  offer: offered,
};
const of = (changes: Partial<HostFacts>) => standingOf({ ...host, ...changes });

describe('a host', () => {
  test('is in sync only when it runs the toplevel and boots it next', () => {
    expect(of({ observed: onWanted })).toBe('in-sync');
    expect(of({ observed: { ...onWanted, profile: { generation: 1, toplevel: other } } })).toBe('under-way');
    expect(of({ observed: { ...onWanted, current: other } })).toBe('under-way');
  });
  test('whose agent reports success without the observation has drifted', () => {
    expect(of({ state: 'SUCCEEDED', subject: wanted })).toBe('drifted');
    expect(of({ state: 'SUCCEEDED', subject: other })).toBe('under-way');
  });
  test('is away when it is not connected, unless it was last observed in sync', () => {
    expect(of({ isConnected: false })).toBe('away');
    expect(of({ isConnected: false, observed: onWanted })).toBe('in-sync');
  });
  test('stays rolled back from what it should run, whatever it does later', () => {
    expect(of({ state: 'ROLLED_BACK', subject: wanted })).toBe('rolled-back');
    expect(of({ state: 'ROLLED_BACK', subject: other })).toBe('under-way');
    expect(of({ desired: quarantined, state: 'SUCCEEDED', subject: other })).toBe('rolled-back');
    expect(of({ desired: quarantined, isConnected: false })).toBe('rolled-back');
  });
  test.each(['BLOCKED', 'ROLLBACK_FAILED', 'REJECTED'] as const)('failed while it is %s, connected or not', (state) => {
    expect(of({ state, subject: wanted })).toBe('failed');
    expect(of({ state, subject: wanted, isConnected: false })).toBe('failed');
    expect(of({ state, subject: other })).toBe('under-way');
  });
  test('failed when it refused its directive unread (expired, or of an unknown key)', () => {
    expect(of({ state: 'REJECTED', subject: undefined })).toBe('failed');
  });
  test('is under way, whatever it runs, until the verdict about it is passed (O2)', () => {
    expect(of({ observed: onWanted, state: 'BOOT_VERIFYING', subject: wanted })).toBe('under-way');
    expect(of({ observed: onWanted, state: 'BOOT_VERIFYING', subject: wanted, isConnected: false })).toBe('away');
    expect(of({ observed: onWanted, state: 'VERIFYING', subject: other })).toBe('in-sync');
  });
  test.each(['DEFERRED', 'BOOT_STAGED'] as const)('waits while it is connected and %s about this toplevel (O3)', (state) => {
    expect(of({ state, subject: wanted })).toBe('waiting');
    expect(of({ state, subject: other })).toBe('under-way');
    expect(of({ state, subject: wanted, isConnected: false })).toBe('away');
  });
  test('is kept by its user, connected or not, whatever system was desired then', () => {
    expect(of({ isOverridden: true, subject: other })).toBe('local-override');
    expect(of({ isOverridden: true, isConnected: false })).toBe('local-override');
    expect(of({ isOverridden: true, observed: onWanted })).toBe('in-sync');
    expect(isLocalOverride('IDLE', { code: 'LOCAL_OVERRIDE' })).toBe(true);
    expect(isLocalOverride('IDLE', { code: 'HELD' })).toBe(false);
    expect(isLocalOverride('OFFERED', { code: 'LOCAL_OVERRIDE' })).toBe(false);
  });
  test('is under way, or away, as soon as an administrator retries it (O6)', () => {
    for (const before of [
      { isOverridden: true },
      { state: 'ROLLED_BACK' },
      { state: 'REJECTED' },
      { state: 'BLOCKED' },
      { state: 'SUCCEEDED' },
    ] as const) {
      expect(of({ ...before, subject: wanted, isRetryPending: true })).toBe('under-way');
      expect(of({ ...before, subject: wanted, isRetryPending: true, isConnected: false })).toBe('away');
    }
  });
  test('is behind when the revision has no release for it, whatever it reports about its own', () => {
    const offer: Offer = { kind: 'none', because: 'host' };
    expect(of({ offer, observed: onWanted })).toBe('behind');
    expect(of({ offer, isConnected: false })).toBe('behind');
    expect(of({ offer, enrolment: 'none' })).toBe('behind');
    expect(of({ offer, enrolment: 'revoked' })).toBe('revoked');
    expect(of({ offer, enrolment: 'cloned' })).toBe('cloned');
  });
  test('is behind when the whole newest revision failed, unless it is not enrolled', () => {
    const offer: Offer = { kind: 'none', because: 'revision' };
    expect(of({ offer, observed: onWanted })).toBe('behind');
    expect(of({ offer, enrolment: 'none' })).toBe('not-enrolled');
  });
  test('is not ours when its commit left it out and no machine is enrolled, and waits for its release where one is', () => {
    const offer = offerOf('PUBLISHED', { outcome: 'NOT_OURS' });
    expect(of({ offer, enrolment: 'none' })).toBe('not-ours');
    expect(of({ offer, enrolment: 'revoked' })).toBe('revoked');
    expect(of({ offer, desired: { kind: 'nothing' } })).toBe('no-release');
    expect(of({ offer, observed: onWanted })).toBe('in-sync');
  });
  test('is not built where nobody builds for its architecture, whatever it runs', () => {
    const offer = offerOf('PUBLISHED', { outcome: 'NOT_BUILT_HERE', toplevel: wanted });
    expect(of({ offer, observed: onWanted })).toBe('not-built');
    expect(of({ offer, isConnected: false })).toBe('not-built');
    expect(of({ offer, enrolment: 'none' })).toBe('not-enrolled');
  });
  test('is on trial whatever the host says about the tried system', () => {
    for (const state of AGENT_STATES) expect(of({ desired: onTrial, state, subject: other, observed: onWanted })).toBe('trial');
    expect(of({ desired: onTrial, isConnected: false })).toBe('trial');
  });
  test('is pinned where a pin keeps it on another system than the revision offers', () => {
    expect(of({ desired: pinned, observed: onWanted, offer: { kind: 'release', toplevel: other } })).toBe('pinned');
    expect(of({ desired: pinned, observed: onWanted })).toBe('in-sync');
    expect(of({ desired: pinned, offer: { kind: 'release', toplevel: other } })).toBe('under-way');
  });
  test('waits for no ring of an aborted rollout: it is kept back, or on its way back until it is there', () => {
    const offer: Offer = { kind: 'release', toplevel: other, isAborted: true };
    const kept: Desired = { kind: 'release', release, because: 'kept' };
    for (const each of [kept, { ...kept, because: 'stable' } as const]) {
      expect(of({ desired: each, offer: { ...offer, isAborted: false } })).toBe('queued');
      expect(of({ desired: each, offer })).toBe('kept-back');
      expect(of({ desired: each, offer, observed: onWanted })).toBe('kept-back');
    }
    expect(of({ desired: reverting, offer, observed: onWanted })).toBe('kept-back');
    expect(of({ desired: reverting, offer })).toBe('under-way');
    expect(of({ desired: reverting, offer, isConnected: false })).toBe('away');
    expect(of({ desired: reverting, offer, state: 'ROLLED_BACK', subject: wanted })).toBe('rolled-back');
    // What runs the aborted system, and keeps it.
    expect(of({ desired: kept, offer: { ...offer, toplevel: wanted }, observed: onWanted })).toBe('in-sync');
    // A newer one is rolled out: its turn comes.
    expect(of({ desired: reverting, offer: { ...offer, isAborted: false }, observed: onWanted })).toBe('queued');
  });
});

test('the offer of a revision follows from the evaluation of the host and the state of the revision', () => {
  expect(offerOf('PUBLISHED', { outcome: 'CHANGED', toplevel: wanted })).toEqual(offered);
  // Retried: it builds by now, and is not released yet.
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
  isRetryPending: [true, false],
  desired: [{ kind: 'nothing' }, desired, quarantined, pinned, reverting, onTrial],
  offer: [
    offered,
    { kind: 'release', toplevel: other },
    { kind: 'release', toplevel: other, isAborted: true },
    { kind: 'none', because: 'host' },
    { kind: 'none', because: 'revision' },
    { kind: 'removed' },
    { kind: 'not-ours' },
    { kind: 'not-built' },
    { kind: 'unknown' },
  ],
} as const satisfies { readonly [Fact in keyof HostFacts]: readonly HostFacts[Fact][] };

/** Every combination of facts: 220,320. */
function* allFacts(): Generator<HostFacts> {
  let all: Partial<HostFacts>[] = [{}];
  for (const [fact, values] of Object.entries(VALUES)) all = all.flatMap((facts) => values.map((value) => ({ ...facts, [fact]: value })));
  for (const facts of all) yield { ...host, ...facts };
}

test('every combination of facts has one standing, and every standing is reached (S1)', () => {
  const seen = new Set<string>();
  for (const facts of allFacts()) seen.add(standingOf(facts));
  expect([...seen].toSorted()).toEqual([...HOST_STANDINGS].toSorted());
});

test('no host without an offer is under way, and a quarantine is always visible (S2)', () => {
  const wrong = [...allFacts()].filter((facts) => {
    const standing = standingOf(facts);
    const isMoving = /under-way|waiting|drifted|failed/.test(standing);
    const isQuarantined = facts.enrolment === 'enrolled' && facts.desired.kind === 'quarantined' && facts.observed !== onWanted;
    // Another system of a newer revision is on its way.
    const isReplaced =
      (standing === 'queued' || standing === 'kept-back') &&
      facts.offer.kind === 'release' &&
      facts.desired.kind === 'quarantined' &&
      facts.offer.toplevel !== facts.desired.release.toplevel;
    return (facts.desired.kind !== 'release' && isMoving) || (isQuarantined && !needsAction(standing) && !isReplaced);
  });
  expect(wrong).toEqual([]);
});
