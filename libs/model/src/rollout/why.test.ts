import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AGENT_STATES } from '../agent/state.ts';
import type { CommitSha, HostName, StorePath } from '../brands.ts';
import { resolve, type HostSituation, type ReleaseRef } from '../resolve.ts';
import { ROLLOUT_STATES } from '../rollout-state.ts';
import { hasArrived, standingOf, type Offer } from '../standing.ts';
import { factsOf, MINUTE, pathOf, policyOf } from '../test/rollout-facts.ts';
import type { RolloutFacts } from './facts.ts';
import { beginRollout, type RolloutCourse, type RolloutPause } from './course.ts';
import { isRingPromoted } from './table.ts';
import type { AdmitAnswer } from './admit.ts';
import { whyNot, type WhyFacts, type WhyNot } from './why.ts';

const [old, newest, other] = ['old', 'newest', 'other'].map(pathOf) as [StorePath, StorePath, StorePath];
const on = (toplevel: StorePath) => ({ current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } });
const release = (sequence: number, toplevel: StorePath): ReleaseRef => ({ id: String(sequence), host: 'ada' as HostName, sequence, toplevel });
const POLICY = policyOf(2, [{}, { approvals: { count: 1, role: 'approver', notAuthor: false } }]);

interface Given extends Partial<Omit<WhyFacts, 'situation' | 'desired' | 'rollout'>> {
  readonly situation?: Partial<HostSituation>;
  readonly course?: Partial<RolloutCourse>;
  readonly ring?: number;
  readonly freeze?: boolean;
}

/** A host of the second ring that was told the old release, while the newest one is at the first ring. */
function facts({ situation, course: changes, ring = 1, freeze = false, ...rest }: Given = {}): WhyFacts {
  const course: RolloutCourse = { ...beginRollout(0), state: 'ROLLING', ...changes };
  const given: HostSituation = {
    pin: undefined,
    hold: undefined,
    isRingPromoted: isRingPromoted(course, ring),
    rollout: release(2, newest),
    stable: release(1, old),
    directed: release(1, old),
    quarantined: new Set(),
    ...situation,
  };
  const orders = freeze ? { freeze: { by: 'eve', reason: 'holidays', at: 0, until: undefined } } : {};
  return {
    host: 'ada' as HostName,
    enrolment: 'enrolled',
    isConnected: true,
    observed: on(old),
    state: 'SUCCEEDED',
    subject: old,
    isOverridden: false,
    isRetryPending: false,
    newest: { kind: 'ended', offer: { kind: 'release', toplevel: newest } },
    situation: given,
    desired: resolve(given),
    rollout: { course, facts: factsOf(POLICY, ['c:0 verified', 'd:0 in-flight', 'ada:1 to-come'], orders), ring },
    train: undefined,
    admitted: undefined,
    ...rest,
  };
}
const rules = (given: Given): readonly WhyNot['rule'][] => whyNot(facts(given), MINUTE).map(({ rule }) => rule);
const ORDER = { commit: 'c'.repeat(40) as CommitSha, sequence: 2, by: 'ada', reason: 'hangs', at: 0, isOfAll: false };
const TOLD = { ring: 0, situation: { directed: release(2, newest) } };

describe('why a host does not run the newest commit', () => {
  test('nothing stands between them when it does', () => {
    expect(rules({ observed: on(newest) })).toEqual([]);
    expect(rules({ observed: on(newest), state: 'VERIFYING', subject: newest })).not.toEqual([]);
  });

  test('it tries another system, or the newest one before its turn', () => {
    const trial = { ...release(0, old), endsAt: 9 };
    expect(whyNot(facts({ situation: { trial } }), MINUTE)[0]).toEqual({ rule: 'trial', endsAt: 9 });
    expect(rules({ situation: { trial: { ...trial, toplevel: newest } } })).toContain('trial');
  });

  test('a hold on the newest system, which it keeps from its turn, is named with what else it waits for', () => {
    const situation = { directed: release(2, newest), hold: release(2, newest) };
    const waits = (reason: 'ring' | 'newer' | 'pause' | 'freeze'): AdmitAnswer => ({ kind: 'wait', for: reason });
    expect(rules({ situation, admitted: waits('ring') })).toEqual(['hold', 'ring']);
    expect(rules({ situation, admitted: waits('newer'), course: { state: 'COMPLETE', ring: 1, unapproved: [1] } })).toEqual(['hold']);
    expect(rules({ situation, admitted: waits('pause'), course: { state: 'PAUSED', pause: { cause: 'after-ring' } } })).toEqual([
      'hold',
      'paused',
      'ring',
    ]);
    expect(rules({ situation, admitted: waits('freeze'), freeze: true })).toEqual(['hold', 'freeze', 'ring']);
    // Its turn has come: it is on its way, held or not.
    expect(rules({ situation, admitted: { kind: 'go' }, ring: 0 })).toEqual(['under-way']);
  });

  test('a stepping stone comes first, and one that failed on it holds it', () => {
    const stone = { ...release(4, other), name: 'agent-2' };
    expect(whyNot(facts({ situation: { stone } }), MINUTE)[0]).toEqual({
      rule: 'stepping-stone',
      name: 'agent-2',
      sequence: 4,
      isQuarantined: false,
    });
    expect(whyNot(facts({ situation: { stone, quarantined: new Set([other]) } }), MINUTE)[0]).toMatchObject({ isQuarantined: true });
    expect(rules({ situation: { stone: { ...stone, toplevel: newest } } })).not.toContain('stepping-stone');
  });

  test('its ring waits for another one, with how far that is', () => {
    expect(whyNot(facts(), MINUTE)).toMatchObject([
      { rule: 'ring', ring: 'ring-1', before: { name: 'ring-0', needed: 1, counts: { verified: 1, inFlight: 1 } } },
    ]);
    expect(whyNot(facts({ course: { state: 'SOAKING' } }), MINUTE)).toMatchObject([{ before: { soakUntil: 30 * MINUTE } }]);
  });

  test('its ring waits for an approval or a window, or the rollout for a person', () => {
    const pause: RolloutPause = { cause: 'failures', count: 1, failures: [{ host: 'c' as HostName, toplevel: newest, reason: 'no network' }] };
    expect(whyNot(facts({ course: { state: 'WAITING_APPROVAL', ring: 1, provedRing: 0 } }), 1)).toMatchObject([
      { rule: 'approval', ring: 'ring-1', missing: { count: 1 } },
    ]);
    expect(rules({ course: { state: 'READY', ring: 1, provedRing: 0 } })).toEqual(['window']);
    const window = { opensAt: 7, timeZone: 'Asia/Tokyo' };
    expect(whyNot(facts({ course: { state: 'READY', ring: 1, provedRing: 0 }, window }), 1)).toEqual([{ rule: 'window', ring: 'ring-1', ...window }]);
    // Its own says nothing of the ring that is asked.
    expect(whyNot(facts({ course: { state: 'READY', ring: 0 }, window }), 1)).toMatchObject([{ rule: 'ring' }, { rule: 'window', ring: 'ring-0' }]);
    expect(whyNot(facts({ course: { state: 'READY', ring: 0 }, window }), 1)[1]).not.toHaveProperty('opensAt');
    expect(rules({ course: { state: 'PAUSED', pause } })).toEqual(['paused', 'ring']);
    expect(rules({ course: { state: 'ABORTED' } })).toEqual(['aborted']);
    expect(rules({ freeze: true, course: { state: 'PAUSED', ring: 1, pause: { cause: 'freeze', by: 'eve', reason: 'holidays' } } })).toEqual([
      'freeze',
    ]);
  });

  test('its ring waits for hosts that are still made, and who approves is asked afterwards', () => {
    const { rollout, ...waiting } = facts({ course: { state: 'WAITING_APPROVAL', ring: 1, provedRing: 0 } });
    if (rollout === undefined) throw new Error('there is a rollout');
    const seen = (more: Partial<RolloutFacts>, ring = 1): readonly WhyNot[] =>
      whyNot({ ...waiting, rollout: { ...rollout, facts: { ...rollout.facts, ...more }, ring } }, 1);
    const coming = [{ host: 'late' as HostName, ring: 1, isPresent: true }];
    const given = { by: 'eve', role: 'approver', reason: '', at: 0, ring: 1 } as const;
    const approved = { ...rollout.facts.orders, approvals: [given] };
    const evaluated = { rule: 'coming', ring: 'ring-1', building: 0, evaluating: 2, missing: { count: 1 } };
    expect(seen({ evaluating: 2 })).toMatchObject([evaluated]);
    // Nobody has seen all of it.
    expect(seen({ evaluating: 2, orders: approved })).toMatchObject([evaluated]);
    expect(seen({ coming, orders: approved })).toEqual([{ rule: 'coming', ring: 'ring-1', building: 1, evaluating: 0, missing: undefined }]);
    // Meanwhile its hosts that are still built keep nobody from approving it.
    expect(seen({ coming })).toMatchObject([{ rule: 'approval', missing: { count: 1 }, isAuthorUnknown: false }]);
    expect(seen({ evaluating: 2 }, 2)).toMatchObject([{ rule: 'ring', before: { evaluating: 2 } }]);
  });

  test('several rules stand in the order in which they are asked', () => {
    expect(
      rules({ enrolment: 'cloned', isConnected: false, freeze: true, situation: { pin: release(1, old), quarantined: new Set([newest]) } }),
    ).toEqual(['cloned', 'pin', 'freeze', 'ring', 'quarantined']);
  });

  test('it was told, and its machine, its user or a limit waits', () => {
    expect(rules({ ...TOLD, state: 'DEFERRED', subject: newest })).toEqual(['deferred']);
    expect(rules({ ...TOLD, state: 'ROLLED_BACK', subject: newest })).toEqual(['failed']);
    expect(rules({ ...TOLD, isConnected: false })).toEqual(['away']);
    expect(rules({ ...TOLD, state: 'IDLE', isOverridden: true })).toEqual(['override']);
    expect(rules({ ...TOLD, isRetryPending: true, state: 'ROLLED_BACK', subject: newest })).toEqual(['retry-pending']);
    expect(rules({ ...TOLD, admitted: { kind: 'wait', for: 'in-flight', limit: 3, of: 'fleet' } })).toEqual(['in-flight']);
    expect(rules({ ...TOLD, admitted: { kind: 'wait', for: 'window' } })).toEqual(['window']);
    expect(rules({ ...TOLD, freeze: true })).toEqual(['freeze']);
    expect(rules({ ...TOLD, state: 'DOWNLOADING', subject: newest })).toEqual(['under-way']);
  });

  test('it was told a newer release in a time that the database lost', () => {
    expect(rules({ ring: 0, situation: { directed: release(9, other) } })).toEqual(['sequence']);
  });

  test('the newest commit has nothing for it', () => {
    const because = (newestOf: WhyFacts['newest']) => rules({ newest: newestOf });
    const offer = (some: Offer) => because({ kind: 'ended', offer: some });
    expect(because({ kind: 'none' })).toEqual(['no-commit']);
    expect(because({ kind: 'unfinished' })).toEqual(['unfinished']);
    const waits = { after: 'd'.repeat(40) as CommitSha, until: MINUTE };
    expect(whyNot(facts({ newest: { kind: 'unfinished', waits } }), MINUTE)).toContainEqual({ rule: 'unfinished', waits });
    expect(offer({ kind: 'none', because: 'host' })).toEqual(['host-failed']);
    expect(offer({ kind: 'none', because: 'revision' })).toEqual(['revision-failed']);
    expect(offer({ kind: 'removed' })).toEqual(['removed']);
  });

  test('names who quarantined the newest system there', () => {
    const ordered = new Map([[newest, ORDER]]);
    expect(whyNot(facts({ ring: 0, situation: { ordered } }), MINUTE)).toContainEqual({ rule: 'ordered-quarantine', order: ORDER });
  });

  test('is empty exactly when it runs it, whatever the facts; and not "under way" where a person is needed', () => {
    const toplevel = fc.constantFrom(old, newest, other);
    const some = <Value>(value: Value) => fc.constantFrom(undefined, value);
    const any = fc.record({
      enrolment: fc.constantFrom('enrolled' as const, 'none' as const, 'revoked' as const, 'cloned' as const),
      isConnected: fc.boolean(),
      observed: toplevel.map(on),
      state: fc.constantFrom(...AGENT_STATES),
      subject: fc.option(toplevel, { nil: undefined }),
      isOverridden: fc.boolean(),
      isRetryPending: fc.boolean(),
      freeze: fc.boolean(),
      ring: fc.nat(1),
      course: fc.record({ state: fc.constantFrom(...ROLLOUT_STATES), ring: fc.nat(1), provedRing: fc.constantFrom(undefined, 0) }),
      situation: fc.record({
        pin: some(release(1, old)),
        hold: some(release(2, newest)),
        directed: fc.constantFrom(undefined, release(1, old), release(2, newest), release(9, other)),
        quarantined: fc.subarray([old, newest]).map((paths) => new Set(paths)),
        ordered: fc.subarray([old, newest]).map((paths) => new Map(paths.map((path) => [path, ORDER]))),
      }),
      admitted: fc.constantFrom(undefined, { kind: 'go' as const }, { kind: 'wait' as const, for: 'window' as const }),
    });
    fc.assert(
      fc.property(any, (given) => {
        const seen = facts(given);
        const why = whyNot(seen, MINUTE);
        expect(why.length === 0).toBe(hasArrived(seen, newest) && seen.enrolment === 'enrolled');
        const standing = standingOf({ ...seen, offer: { kind: 'release', toplevel: newest } });
        if (why.some(({ rule }) => rule === 'under-way'))
          expect(['under-way', 'no-release', 'in-sync', 'queued', 'waiting', 'drifted']).toContain(standing);
        expect(new Set(why.map(({ rule }) => rule)).size).toBe(why.length);
      }),
      { numRuns: 500 },
    );
  });
});
