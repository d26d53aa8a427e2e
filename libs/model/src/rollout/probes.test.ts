import { describe, expect, test } from 'vitest';
import { answer, factsOf, MINUTE, policyOf } from '../test/rollout-facts.ts';
import { beginRollout, type RolloutCourse, type RolloutOrders } from './course.ts';
import { decideRollout, soakEnd } from './decide.ts';
import { overviewOfRings } from './overview.ts';
import type { StoredAnswer } from './probe-answer.ts';
import { dueProbes, MAX_PROBE_TRIES, probesOf } from './probes.ts';

const errors = { name: 'errors', everyMs: MINUTE };
const POLICY = policyOf(2, [{ probes: [errors] }]);
const HOSTS = ['c:0 verified', 'w:1 to-come'];
const order = { by: 'ada', role: 'operator', reason: 'seen', at: 0 } as const;
const facts = (probes: StoredAnswer[], orders: Partial<RolloutOrders> = {}) => factsOf(POLICY, HOSTS, orders, { probes });
const after = (course: RolloutCourse, now: number, probes: StoredAnswer[], orders: Partial<RolloutOrders> = {}): RolloutCourse =>
  decideRollout(course, facts(probes, orders), now).course;
const soaking = after(beginRollout(0), 0, []);
const END = 30 * MINUTE;

describe('a ring with a probe', () => {
  test('is left only when it said yes once more after the soak', () => {
    expect(soaking.state).toBe('SOAKING');
    for (const probes of [[], [answer({ verdict: 'good', askedAt: END - 1 })], [answer({ verdict: 'unknown', askedAt: END })]])
      expect(after(soaking, END, probes)).toMatchObject({ state: 'SOAKING', ring: 0 });
    expect(after(soaking, END, [answer({ verdict: 'good', askedAt: END })])).toMatchObject({ state: 'ROLLING', ring: 1 });
  });

  test('pauses when it says no, while hosts change and while it soaks, and names the answer', () => {
    const bad = answer({ verdict: 'bad', askedAt: 5, value: '0.3', max: 0.1, detail: 'shop', number: 7 });
    const rolling: RolloutCourse = { ...soaking, state: 'ROLLING' };
    for (const course of [soaking, rolling])
      expect(after(course, 10, [bad])).toMatchObject({
        state: 'PAUSED',
        ring: 0,
        pause: { cause: 'probe', answers: [{ name: 'errors', number: 7, verdict: 'bad', value: '0.3', max: 0.1, detail: 'shop' }] },
      });
  });

  test('neither passes nor pauses while it gives no answer, until it was asked in vain too often', () => {
    const silent = (tries: number): StoredAnswer => answer({ verdict: 'unknown', askedAt: END, tries });
    expect(after(soaking, END, [silent(MAX_PROBE_TRIES - 1)])).toMatchObject({ state: 'SOAKING' });
    expect(after(soaking, END, [silent(MAX_PROBE_TRIES)])).toMatchObject({ state: 'PAUSED', pause: { answers: [{ verdict: 'unknown' }] } });
  });

  test('goes on when a person resumes: what was seen counts no more, and only another such answer pauses again', () => {
    const bad = answer({ verdict: 'bad', askedAt: 5 });
    const paused = after(soaking, 10, [bad]);
    expect(after(paused, 20, [bad])).toEqual(paused);
    const resume = { resume: { ...order, of: paused.since } };
    const seen = { ...bad, isAcknowledged: true };
    const resumed = after(paused, 20, [seen], resume);
    expect(resumed).toMatchObject({ state: 'SOAKING', ring: 0 });
    // It says nothing for it, either.
    expect(after(resumed, 60 * MINUTE, [seen], resume)).toMatchObject({ state: 'SOAKING', ring: 0 });
    expect(after(resumed, 30, [answer({ verdict: 'bad', askedAt: 25, number: 2 })], resume).state).toBe('PAUSED');
  });

  test('is not passed over by a hotfix', () => {
    const hotfix = { hotfix: order };
    expect(after(soaking, 1, [], hotfix)).toMatchObject({ state: 'SOAKING', ring: 0 });
    expect(after(soaking, 1, [answer({ verdict: 'bad', askedAt: 1 })], hotfix).state).toBe('PAUSED');
    expect(after(soaking, 1, [answer({ verdict: 'good', askedAt: 1 })], hotfix)).toMatchObject({ ring: 1 });
  });

  test('takes no answer from a clock that is ahead for one after the soak', () => {
    const ahead = answer({ verdict: 'good', askedAt: 90 * MINUTE });
    expect(after(soaking, END, [ahead])).toMatchObject({ state: 'SOAKING', ring: 0 });
    expect(dueProbes(soaking, facts([ahead]), END, END)).toEqual([{ name: 'errors', at: END }]);
  });

  test('that was skipped has its probes asked in the first ring that changes, beside that one’s own', () => {
    const policy = policyOf(2, [{ probes: [{ ...errors, everyMs: 5 * MINUTE }] }, { probes: [errors, { name: 'latency', everyMs: MINUTE }] }]);
    const { course } = decideRollout(beginRollout(0), factsOf(policy, ['c:0 verified-', 'w:1 to-come']), 1);
    expect(course).toMatchObject({ state: 'ROLLING', ring: 1 });
    expect(probesOf(policy, course)).toEqual([errors, { name: 'latency', everyMs: MINUTE }]);
    expect(probesOf(policy, { ring: 1, provedRing: 0 })).toEqual(policy.rings[1]?.probes);
    const ofFirst = policyOf(2, [{ probes: [errors] }]);
    expect(probesOf(ofFirst, { ring: 1, provedRing: undefined })).toEqual([errors]);
  });
});

describe('a probe is asked', () => {
  const due = (course: RolloutCourse, probes: StoredAnswer[], now: number): (number | undefined)[] =>
    dueProbes(course, facts(probes), soakEnd(course, facts(probes)), now).map(({ at }) => at);

  test('only while its ring rolls and soaks', () => {
    expect(due(soaking, [], 7)).toEqual([7]);
    for (const state of ['NEXT', 'WAITING_APPROVAL', 'READY', 'PAUSED', 'COMPLETE', 'ABORTED', 'SUPERSEDED'] as const)
      expect(due({ ...soaking, state }, [], 7)).toEqual([]);
  });

  test('again after its time, when the soak is over, and at once after a person saw its answer', () => {
    expect(due(soaking, [answer({ verdict: 'good', askedAt: 3 })], 7)).toEqual([3 + MINUTE]);
    const slow = facts([answer({ verdict: 'good', askedAt: END - 5 })]);
    expect(dueProbes(soaking, { ...slow, policy: policyOf(2, [{ probes: [{ ...errors, everyMs: 60 * MINUTE }] }]) }, END, END - 1)).toEqual([
      { name: 'errors', at: END },
    ]);
    expect(due(soaking, [answer({ verdict: 'bad', askedAt: 3, isAcknowledged: true })], 7)).toEqual([7]);
  });
});

test('people see what a ring waits for', () => {
  const silent = answer({ verdict: 'unknown', askedAt: 5 });
  expect(overviewOfRings(soaking, facts([silent]))).toMatchObject([{ probes: [{ name: 'errors', answer: { verdict: 'unknown' } }] }, { probes: [] }]);
});
