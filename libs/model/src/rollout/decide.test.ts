import { describe, expect, test } from 'vitest';
import { loosened } from '../test/loosened.ts';
import { factsOf, HOUR, MINUTE, pathOf, policyOf } from '../test/rollout-facts.ts';
import { beginRollout, type RolloutCourse, type RolloutOrders } from './course.ts';
import { decideRollout, failuresOf, failuresSince } from './decide.ts';
import type { RolloutFacts } from './facts.ts';
import { unaskedIn } from './rings.ts';
import { promotedRings } from './table.ts';

const order = { by: 'ada', role: 'administrator', reason: 'because', at: 0 } as const;
const TWO = policyOf(2);

/** Decides at each of the times with the facts for it, and returns the states after each, as `ROLLING 0`. */
function walk(from: RolloutCourse, steps: readonly (readonly [now: number, facts: RolloutFacts])[]): { course: RolloutCourse; seen: string[] } {
  const seen: string[] = [];
  let course = from;
  for (const [now, facts] of steps) {
    course = decideRollout(course, facts, now).course;
    seen.push(`${course.state} ${course.ring}`);
  }
  return { course, seen };
}
const eventsOf = (course: RolloutCourse, facts: RolloutFacts, now: number): string[] =>
  decideRollout(course, facts, now).steps.map(({ event }) => event);

describe('a rollout', () => {
  test('goes from ring to ring, each after its gate and its soak', () => {
    const canary = ['c:0 verified', 'w:1 to-come'];
    const { seen } = walk(beginRollout(0), [
      [0, factsOf(TWO, ['c:0 to-come', 'w:1 to-come'])],
      [1, factsOf(TWO, ['c:0 in-flight', 'w:1 to-come'])],
      [2, factsOf(TWO, canary)],
      [30 * MINUTE + 1, factsOf(TWO, canary)],
      [30 * MINUTE + 2, factsOf(TWO, canary)],
      [31 * MINUTE, factsOf(TWO, ['c:0 verified', 'w:1 verified'])],
      [42 * MINUTE, factsOf(TWO, ['c:0 verified', 'w:1 verified'])],
    ]);
    expect(seen).toEqual(['ROLLING 0', 'ROLLING 0', 'SOAKING 0', 'SOAKING 0', 'ROLLING 1', 'SOAKING 1', 'COMPLETE 1']);
  });

  test('of one ring without gates is complete as soon as its hosts run it', () => {
    const one = policyOf(1);
    expect(decideRollout(beginRollout(0), factsOf(one, ['a:0 verified', 'b:0 away', 'c:0 failed']), 1).course.state).toBe('COMPLETE');
    expect(decideRollout(beginRollout(0), factsOf(one, ['a:0 verified', 'b:0 to-come']), 1).course.state).toBe('ROLLING');
  });

  test('of which nobody is there does not complete untried', () => {
    expect(decideRollout(beginRollout(0), factsOf(policyOf(1), ['a:0 away', 'b:0 waiting']), 1).course.state).toBe('ROLLING');
    const gone = factsOf(
      policyOf(2, [
        { minVerified: 0, soakMs: 0 },
        { minVerified: 0, soakMs: 0 },
      ]),
      ['a:0 away', 'b:1 away'],
    );
    expect(decideRollout(beginRollout(0), gone, 1).course).toMatchObject({ state: 'ROLLING', ring: 1 });
  });

  test('stays complete when a host that it asks late is away again, and asks it when it is back (O28)', () => {
    const policy = policyOf(2, [{ deadlineMs: HOUR }, { deadlineMs: HOUR, soakMs: 0 }]);
    const overdue = { windows: policy.rings.map(() => ({ isOpen: true, openMs: HOUR })) };
    const complete: RolloutCourse = { ...beginRollout(0), state: 'COMPLETE', ring: 1, provedRing: 0 };
    const asked = decideRollout(complete, factsOf(policy, ['c:0 verified-', 'l:1 to-come']), 1);
    expect(asked.course).toMatchObject({ state: 'ROLLING', ring: 1, isReopened: true });
    const away = factsOf(policy, ['c:0 verified-', 'l:1 away'], {}, overdue);
    const left = decideRollout(asked.course, away, 2 * HOUR);
    expect([left.course.state, left.steps.map(({ event }) => event)]).toEqual(['COMPLETE', ['left']]);
    // What nobody verified is not proved.
    expect(unaskedIn(left, away)).toEqual(['l']);
    expect(eventsOf(left.course, away, 3 * HOUR)).toEqual([]);
    // Present, and nothing comes of it; failed.
    expect(decideRollout(asked.course, factsOf(policy, ['c:0 verified-', 'l:1 to-come'], {}, overdue), 2 * HOUR).course.state).toBe('PAUSED');
    expect(decideRollout(left.course, factsOf(policy, ['c:0 verified-', 'l:1 failed']), 3 * HOUR).course.pause?.cause).toBe('failures');
    // Others that were built late are asked, each ring after the one before it.
    const both = factsOf(policy, ['l:0 away', 'd:1 to-come']);
    expect(decideRollout({ ...asked.course, ring: 0 }, both, 2).course).toMatchObject({ state: 'ROLLING', ring: 1 });
    // One that nobody verified yet waits for somebody, and says so at its deadline.
    const unproved = decideRollout({ ...complete, provedRing: undefined }, factsOf(policy, ['l:1 to-come']), 1).course;
    expect(decideRollout(unproved, factsOf(policy, ['l:1 away'], {}, overdue), 2 * HOUR).course.pause?.cause).toBe('deadline');
  });

  test('whose only hosts failed does not complete because the failures were acknowledged', () => {
    expect(decideRollout(beginRollout(0), factsOf(policyOf(1), ['a:0 failed!']), 1).course.state).toBe('ROLLING');
    const quick = policyOf(2, [{ soakMs: 0 }, { soakMs: 0 }]);
    expect(decideRollout(beginRollout(0), factsOf(quick, ['a:0 failed!']), 1).course.state).not.toBe('COMPLETE');
    expect(decideRollout(beginRollout(0), factsOf(quick, ['a:0 failed!', 'b:1 verified']), 1).course.state).toBe('COMPLETE');
  });

  test('completes with one verified host of each group with the same change, and names the group that nobody tried', () => {
    const policy = policyOf(1, [{ soakMs: 0, deadlineMs: HOUR }]);
    const on = (hosts: readonly string[], platforms: Record<string, string>, openMs = 0): RolloutFacts => {
      const facts = factsOf(policy, hosts, {}, { windows: [{ isOpen: true, openMs }] });
      return { ...facts, hosts: facts.hosts.map((host) => ({ ...host, platform: platforms[host.host] ?? 'x86_64-linux' })) };
    };
    const pis = { p: 'aarch64-linux', q: 'aarch64-linux' };
    const untried = on(['a:0 verified', 'b:0 verified', 'p:0 away', 'q:0 failed'], pis);
    const rolling = decideRollout(beginRollout(0), untried, 1).course;
    expect(rolling.state).toBe('ROLLING');
    expect(decideRollout(rolling, on(['a:0 verified', 'p:0 away', 'q:0 failed'], pis, HOUR), HOUR + 1).course.pause).toEqual({
      cause: 'deadline',
      missing: 0,
      present: 0,
      eligible: 3,
      untried: [{ hosts: ['p', 'q'], count: 2 }],
      failed: { count: 1, failures: [expect.objectContaining({ host: 'q' })] },
    });
    expect(decideRollout(rolling, on(['a:0 verified', 'b:0 verified', 'p:0 verified', 'q:0 failed'], pis), 2).course.state).toBe('COMPLETE');
    // Alone with its change, it keeps nobody waiting, whether it is away or has failed.
    for (const alone of ['away', 'failed', 'waiting'])
      expect(decideRollout(rolling, on(['a:0 verified', `p:0 ${alone}`], pis), 2).course.state).toBe('COMPLETE');
  });

  test('leaves no ring before somebody in it runs each commit that later rings get, too (O29)', () => {
    const policy = policyOf(2, [{ deadlineMs: HOUR }]);
    const rolling: RolloutCourse = { ...beginRollout(0), state: 'ROLLING' };
    const after = (...hosts: readonly string[]): string => decideRollout(rolling, factsOf(policy, hosts), 1).course.state;
    // The canary that an older commit changed says nothing of the newer one.
    expect(after('c:0 verified#1', 'd:0 away#2', 'w:1 to-come#2')).toBe('ROLLING');
    expect(after('c:0 verified#1', 'd:0 verified#2', 'w:1 to-come#2')).toBe('SOAKING');
    // It is the last one that changes anybody there; no canary is asked to run it; somebody runs it.
    expect(after('c:0 verified#1', 'd:0 away#2', 'w:1 to-come#1')).toBe('SOAKING');
    expect(after('c:0 verified#1', 'd:0 away-#2', 'w:1 to-come#2')).toBe('SOAKING');
    expect(after('c:0 verified#1', 'd:0 failed!#2', 'w:1 to-come#2')).toBe('SOAKING');
    expect(after('c:0 verified#1', 'd:0 away#2', 'w:1 to-come#2', 'v:1 verified#2')).toBe('SOAKING');
    const overdue = factsOf(policy, ['c:0 verified#1', 'd:0 away#2', 'w:1 to-come#2'], {}, { windows: [{ isOpen: true, openMs: HOUR }] });
    expect(decideRollout(rolling, overdue, HOUR).course.pause).toMatchObject({
      cause: 'deadline',
      missing: 0,
      untried: [{ hosts: ['d'], count: 1 }],
    });
    // Kept elsewhere when the gate passed, and not any more before the soak is over.
    const soaking: RolloutCourse = { ...rolling, state: 'SOAKING', provedRing: 0 };
    const back = factsOf(policy, ['c:0 verified#1', 'd:0 to-come#2', 'w:1 to-come#2']);
    expect(eventsOf(soaking, back, HOUR)).toEqual(['grown']);
    // Each ring asks as many as it says, or all that there are.
    const two = factsOf(policyOf(2, [{ minVerified: 2 }]), ['c:0 verified#1', 'b:0 verified#1', 'd:0 verified#2', 'e:0 away#2', 'w:1 to-come#2']);
    expect(decideRollout(rolling, two, 1).course.state).toBe('ROLLING');
  });

  test('pauses for what failed on a host with an earlier commit that others are still to get (O12)', () => {
    const policy = policyOf(2, [{ deadlineMs: HOUR }]);
    const old = { toplevel: pathOf('c-1'), change: 1, failure: 'a unit failed', isAcknowledged: false };
    const factsWith = (c: string, others: readonly string[], changes: Partial<typeof old> = {}, more: Partial<RolloutFacts> = {}): RolloutFacts => {
      const facts = factsOf(policy, [c, ...others], {}, more);
      return { ...facts, hosts: facts.hosts.map((host) => (host.host === 'c' ? { ...host, failedBefore: [{ ...old, ...changes }] } : host)) };
    };
    const rolling: RolloutCourse = { ...beginRollout(0), state: 'ROLLING' };
    // The canary has what a newer commit changed for it alone.
    const carried = factsWith('c:0 verified#2', ['w:1 to-come#1']);
    const { course } = decideRollout(rolling, carried, 1);
    expect(course).toMatchObject({
      state: 'PAUSED',
      ring: 0,
      pause: { cause: 'failures', count: 1, failures: [{ host: 'c', toplevel: old.toplevel }] },
    });
    expect(failuresOf(course, carried).map(({ toplevel }) => toplevel)).toEqual([old.toplevel]);
    // Nobody is to get it; somebody runs it; a person saw it; its own new system is what is asked.
    const { pause: _, ...begun } = rolling;
    for (const facts of [
      factsWith('c:0 verified#2', ['w:1 to-come#2']),
      factsWith('c:0 verified#2', ['w:1 to-come#1', 'd:0 verified#1']),
      factsWith('c:0 verified#2', ['w:1 to-come#1'], { isAcknowledged: true }),
      factsWith('c:0 verified#2', ['w:1 to-come-#1']),
    ])
      expect(decideRollout({ ...begun, pause: undefined }, facts, 1).course.state).toBe('SOAKING');
    // It ends as it began: by somebody who runs it, or by a person.
    expect(eventsOf(course, factsWith('c:0 away#2', ['w:1 to-come#1', 'd:0 verified#1']), 2)[0]).toBe('resumed');
    expect(eventsOf(course, factsWith('c:0 verified#2', ['w:1 to-come#1']), 2)).toEqual([]);
    const resumed = factsWith('c:0 verified#2', ['w:1 to-come#1'], { isAcknowledged: true });
    expect(eventsOf(course, { ...resumed, orders: { ...resumed.orders, resume: { ...order, of: course.since } } }, 2)[0]).toBe('resumed');
    // A ring with room for failures counts it as one of its own.
    const many = Array.from({ length: 30 }, (_each, index) => `a${index}:1 verified#2`);
    const later = factsWith('c:1 verified#2', [...many, 'x:0 verified#1', 'w:1 to-come#3'], { change: 3 });
    expect(decideRollout({ ...rolling, ring: 1, provedRing: 0 }, later, 1).course.state).not.toBe('PAUSED');
  });

  test('pauses for a host of a later ring that failed with the very system that a ring reached is asked to run', () => {
    const facts = factsOf(TWO, ['c:0 to-come', 'w:1 failed', 'v:1 to-come']);
    const twins = { ...facts, hosts: facts.hosts.map((host) => ({ ...host, toplevel: pathOf('image') })) };
    expect(decideRollout(beginRollout(0), facts, 1).course.state).toBe('ROLLING');
    const { course } = decideRollout(beginRollout(0), twins, 1);
    expect(course).toMatchObject({ state: 'PAUSED', ring: 0, pause: { cause: 'failures', failures: [{ host: 'w' }] } });
    expect(failuresOf(course, twins).map(({ host }) => host)).toEqual(['w']);
  });

  test.each([0, 1])(
    'whose only host was pinned when the gate passed asks the one that is there before the soak is over, with minVerified %i',
    (minVerified) => {
      const policy = policyOf(1, [{ soakMs: HOUR, minVerified }]);
      const rolling = decideRollout(beginRollout(0), factsOf(policy, ['a:0 to-come']), 0).course;
      const soaking = decideRollout(rolling, factsOf(policy, ['a:0 to-come-']), 1).course;
      expect(soaking.state).toBe('SOAKING');
      expect(decideRollout(soaking, factsOf(policy, ['a:0 to-come-', 'b:0 away']), 2 * HOUR).course.state).toBe('ROLLING');
    },
  );

  test('asks a canary whose user followed the fleet again before the soak was over', () => {
    const rolling = decideRollout(beginRollout(0), factsOf(TWO, ['c:0 to-come', 'w:1 to-come']), 0).course;
    const soaking = decideRollout(rolling, factsOf(TWO, ['c:0 to-come-', 'w:1 to-come']), 1).course;
    expect(soaking.state).toBe('SOAKING');
    expect(decideRollout(soaking, factsOf(TWO, ['c:0 to-come', 'w:1 to-come']), HOUR).course).toMatchObject({ state: 'ROLLING', ring: 0 });
  });

  test('asks those who are there before its last soak is over: somebody of each group has to run it (O4)', () => {
    const policy = policyOf(2, [{}, { soakMs: HOUR }]);
    const soaking: RolloutCourse = { ...beginRollout(0), state: 'SOAKING', ring: 1, provedRing: 0 };
    const others = ['c:0 verified', 'w:1 verified'];
    const onPis = (hosts: readonly string[]): RolloutFacts => {
      const facts = factsOf(policy, [...others, ...hosts]);
      return { ...facts, hosts: facts.hosts.map((host) => ({ ...host, platform: /^[pq]$/.test(host.host) ? 'aarch64-linux' : 'x86_64-linux' })) };
    };
    expect(eventsOf(soaking, onPis(['p:1 away', 'q:1 to-come']), HOUR)).toEqual(['grown']);
    // One that is alone with its change keeps nobody waiting, nor do those whom a person keeps elsewhere.
    for (const hosts of [['p:1 away'], ['p:1 away-', 'q:1 to-come-']]) expect(eventsOf(soaking, onPis(hosts), HOUR)).toEqual(['finished']);
  });

  test('that changes nobody is complete at once', () => {
    expect(
      decideRollout(beginRollout(0), factsOf(policyOf(3, [{ approvals: { count: 2, role: 'approver', notAuthor: true } }]), []), 1).course.state,
    ).toBe('COMPLETE');
  });

  test('that is complete begins again for a host that was built late, in its ring, and only for such a host', () => {
    const complete: RolloutCourse = { ...beginRollout(0), state: 'COMPLETE', ring: 1, provedRing: 0 };
    expect(eventsOf(complete, factsOf(TWO, ['c:0 verified-', 'w:1 failed-']), 1)).toEqual([]);
    const { course } = decideRollout(complete, factsOf(TWO, ['c:0 to-come', 'w:1 verified-']), 1);
    expect(course).toMatchObject({ state: 'ROLLING', ring: 0 });
    expect(decideRollout(course, factsOf(TWO, ['c:0 verified', 'w:1 verified-']), HOUR).course.state).toBe('SOAKING');
  });
});

describe('rings in which nothing changes', () => {
  test('are skipped without approval, window and soak, and the first that changes has the gates of the first', () => {
    const policy = policyOf(3, [{ soakMs: HOUR }, { soakMs: 2 }, { soakMs: 3 }]);
    const closed = { windows: policy.rings.map((_, ring) => ({ isOpen: ring === 1, openMs: 0 })) };
    const { course } = decideRollout(beginRollout(0), factsOf(policy, ['a:1 to-come', 'b:1 to-come', 'c:1 to-come'], {}, closed), 1);
    expect(course).toMatchObject({ state: 'ROLLING', ring: 1 });
    // One failure pauses, as in the first ring; in the second, it takes more than one of ten.
    expect(decideRollout(course, factsOf(policy, ['a:1 failed', 'b:1 verified', 'c:1 verified']), 2).course.state).toBe('PAUSED');
    const soaking = decideRollout(course, factsOf(policy, ['a:1 verified', 'b:1 verified', 'c:1 verified']), 2).course;
    expect(decideRollout(soaking, factsOf(policy, ['a:1 verified']), HOUR).course.state).toBe('SOAKING');
    expect(decideRollout(soaking, factsOf(policy, ['a:1 verified', 'd:2 to-come']), HOUR + 2).course).toMatchObject({ state: 'ROLLING', ring: 2 });
  });

  test('do not carry a commit past the approvals of the first ring, or of a weaker policy', () => {
    const policy = policyOf(2, [{ approvals: { count: 1, role: 'approver', notAuthor: true } }]);
    const asked = factsOf(policy, ['w:1 to-come']);
    const { course } = decideRollout(beginRollout(0), asked, 1);
    expect(course).toMatchObject({ state: 'WAITING_APPROVAL', ring: 1 });
    const by = (who: string, role: 'approver' | 'administrator'): Partial<RolloutOrders> => ({
      approvals: [{ ...order, by: who, role, ring: 1, loosens: ['id of ring-0: soak is shorter'] }],
    });
    expect(eventsOf(course, { ...asked, authors: ['eve'], orders: { ...asked.orders, ...by('eve', 'approver') } }, 2)).toEqual([]);
    expect(eventsOf(course, { ...asked, orders: { ...asked.orders, ...by('bob', 'approver') } }, 2)).toContain('approved');

    const weaker = factsOf(TWO, ['w:1 to-come'], {}, { weaker: loosened('ring-0: soak is shorter') });
    expect(decideRollout(beginRollout(0), weaker, 1).course.state).toBe('WAITING_APPROVAL');
    expect(decideRollout(course, { ...weaker, orders: { ...weaker.orders, ...by('bob', 'approver') } }, 2).course.state).toBe('WAITING_APPROVAL');
    expect(decideRollout(course, { ...weaker, orders: { ...weaker.orders, ...by('bob', 'administrator') } }, 2).course.state).toBe('ROLLING');
  });

  test('promote nobody: a host whose pin ends later is not the first to try it', () => {
    const policy = policyOf(2, [{}, { approvals: { count: 1, role: 'approver', notAuthor: false } }]);
    const { course } = decideRollout(beginRollout(0), factsOf(policy, ['c:0 to-come-', 'w:1 to-come']), 1);
    expect([course.state, course.ring, promotedRings(course)]).toEqual(['WAITING_APPROVAL', 1, 0]);
  });

  test('do not cut a soak short: a canary that is pinned, or whose user goes back, was asked', () => {
    const soaking = decideRollout(beginRollout(0), factsOf(TWO, ['c:0 verified', 'w:1 to-come']), 1).course;
    expect(decideRollout(soaking, factsOf(TWO, ['c:0 verified-', 'w:1 to-come']), 2).course.state).toBe('SOAKING');
  });
});

describe('a pause', () => {
  const failing = factsOf(TWO, ['c:0 failed', 'w:1 to-come']);

  test('for a failing canary names it, promotes nobody, and ends when a person resumes it', () => {
    const paused = decideRollout(beginRollout(0), failing, 1).course;
    expect(paused).toMatchObject({
      state: 'PAUSED',
      pause: { cause: 'failures', count: 1, failures: [{ host: 'c', reason: 'a unit failed' }] },
    });
    expect(promotedRings(paused)).toBe(0);
    expect(eventsOf(paused, failing, HOUR)).toEqual([]);
    const resume = { resume: { ...order, of: paused.since } };
    expect(decideRollout(paused, factsOf(TWO, ['c:0 failed!', 'd:0 to-come', 'w:1 to-come'], resume), 5).course).toMatchObject({
      state: 'ROLLING',
      ring: 0,
    });
    // A failure that came after it pauses again, and the same word does not end that.
    const again = decideRollout(paused, factsOf(TWO, ['c:0 failed!', 'd:0 failed'], resume), 5).course;
    expect(again).toMatchObject({ state: 'PAUSED', pause: { failures: [{ host: 'd' }] } });
    expect(eventsOf(again, factsOf(TWO, ['c:0 failed!', 'd:0 failed'], resume), 6)).toEqual([]);
  });

  test('that begins at the time of the one that was resumed is another pause, however the clock was set', () => {
    const paused = decideRollout(beginRollout(7), failing, 7).course;
    const facts = factsOf(TWO, ['c:0 failed!', 'd:0 failed'], { resume: { ...order, of: 7 } });
    const again = decideRollout(paused, facts, 7);
    expect(again.steps.map(({ event }) => event)).toEqual(['resumed', 'failed']);
    expect(decideRollout(again.course, facts, 7).steps).toEqual([]);
  });

  test('ends by itself when those who failed run it after all', () => {
    const paused = decideRollout(beginRollout(0), failing, 1).course;
    expect(decideRollout(paused, factsOf(TWO, ['c:0 verified', 'w:1 to-come']), 5).course.state).toBe('SOAKING');
  });

  test('of a person holds over everything but an abort, until its end', () => {
    const freeze = { by: 'ada', reason: 'holidays', at: 0, until: 100 };
    const paused = decideRollout(beginRollout(0), factsOf(TWO, ['c:0 to-come'], { freeze, hotfix: order }), 1).course;
    expect(paused).toMatchObject({ state: 'PAUSED', pause: { cause: 'freeze', by: 'ada' } });
    expect(eventsOf(paused, factsOf(TWO, ['c:0 to-come'], { freeze, resume: { ...order, of: paused.since } }), 99)).toEqual([]);
    expect(decideRollout(paused, factsOf(TWO, ['c:0 to-come'], { freeze }), 100).course.state).toBe('ROLLING');
    expect(decideRollout(paused, factsOf(TWO, [], { freeze, abort: order }), 50).course.state).toBe('ABORTED');
    // A failure from before it is found when it is over.
    expect(decideRollout(paused, factsOf(TWO, ['c:0 failed'], { freeze }), 100).course).toMatchObject({
      state: 'PAUSED',
      pause: { cause: 'failures' },
    });
  });

  test('after a ring leads to the next one when a person resumes it', () => {
    const policy = policyOf(2, [{ pauseAfter: true, soakMs: 0 }]);
    const facts = factsOf(policy, ['c:0 verified', 'w:1 to-come']);
    const paused = decideRollout(beginRollout(0), facts, 1).course;
    expect(paused).toMatchObject({ state: 'PAUSED', pause: { cause: 'after-ring' }, ring: 0 });
    const resumed = { ...facts, orders: { ...facts.orders, resume: { ...order, of: paused.since } } };
    expect(decideRollout(paused, resumed, 2).course).toMatchObject({ state: 'ROLLING', ring: 1 });
  });
});

test('a resume acknowledges what failed in the rings reached, and elsewhere only with a system that they are asked to run (O12)', () => {
  const facts = factsOf(policyOf(3), ['c:0 failed', 'd:0 failed!', 'w:1 failed', 'x:2 failed']);
  const named = (course: Partial<RolloutCourse>, given = facts): string[] =>
    failuresOf({ ...beginRollout(0), ...course }, given).map(({ host }) => host);
  expect(named({})).toEqual(['c']);
  expect(named({ ring: 1 })).toEqual(['c', 'w']);
  const twins = { ...facts, hosts: facts.hosts.map((host) => (host.host === 'x' ? { ...host, toplevel: pathOf('c') } : host)) };
  expect(named({}, twins)).toEqual(['c', 'x']);
});

describe('a deadline', () => {
  const asleep = (openMs: number, orders: Partial<RolloutOrders> = {}): RolloutFacts =>
    factsOf(TWO, ['c:0 away', 'd:0 away', 'w:1 to-come'], orders, {
      windows: [
        { isOpen: true, openMs },
        { isOpen: true, openMs },
      ],
    });
  const rolling = decideRollout(beginRollout(0), asleep(0), 0).course;

  test('pauses a ring of which nobody is there, with that reason', () => {
    expect(decideRollout(rolling, asleep(23 * HOUR), 24 * HOUR).course.state).toBe('ROLLING');
    const { course } = decideRollout(rolling, asleep(24 * HOUR), 24 * HOUR);
    expect(course.pause).toEqual({ cause: 'deadline', missing: 1, present: 0, eligible: 2, untried: [] });
    // Only time in an open window counts.
    expect(decideRollout(rolling, asleep(2 * HOUR), 240 * HOUR).course.state).toBe('ROLLING');
  });

  test('names what had failed in the rings reached by then, and no later failure is one of these', () => {
    const allowed = policyOf(2, [{ errors: { percent: 50, minStarted: 5 } }]);
    const facts = factsOf(allowed, ['c:0 failed', 'd:0 away', 'w:1 failed'], {}, { windows: asleep(24 * HOUR).windows });
    const { course } = decideRollout({ ...rolling, ring: 0 }, facts, 24 * HOUR);
    expect(course.pause).toMatchObject({ cause: 'deadline', failed: { count: 1, failures: [{ host: 'c' }] } });
    const later = factsOf(allowed, ['c:0 failed', 'd:0 failed'], {}, { windows: asleep(24 * HOUR).windows });
    expect(failuresSince(course, later).map(({ host }) => host)).toEqual(['d']);
  });

  test('begins with its ring again after a resume, and with the next ring', () => {
    const paused = decideRollout(rolling, asleep(24 * HOUR), 24 * HOUR).course;
    const resume = { resume: { ...order, of: paused.since } };
    expect(decideRollout(paused, asleep(48 * HOUR, resume), 48 * HOUR).course).toMatchObject({ state: 'ROLLING', ringSince: 48 * HOUR });
    const slow = factsOf(policyOf(2, [{ soakMs: 0 }]), ['c:0 verified', 'w:1 to-come'], {}, { windows: asleep(30 * HOUR).windows });
    expect(decideRollout(rolling, slow, 30 * HOUR).course).toMatchObject({ state: 'ROLLING', ring: 1 });
  });

  test('does not wait for hosts that are there and do nothing, if enough are verified', () => {
    const facts = factsOf(TWO, ['a:0 verified', 'b:0 to-come'], {}, { windows: asleep(24 * HOUR).windows });
    expect(decideRollout(rolling, facts, 24 * HOUR).course.state).toBe('SOAKING');
  });
});

describe('a hotfix', () => {
  test('passes over windows and soaks, never over failures and the first verification', () => {
    const shut = { windows: TWO.rings.map(() => ({ isOpen: false, openMs: 0 })) };
    const urgent = { hotfix: order };
    const at = (hosts: string[]) => decideRollout(beginRollout(0), factsOf(TWO, hosts, urgent, shut), 1).course;
    expect(at(['c:0 to-come', 'w:1 to-come'])).toMatchObject({ state: 'ROLLING', ring: 0 });
    expect(at(['c:0 verified', 'w:1 to-come'])).toMatchObject({ state: 'ROLLING', ring: 1 });
    expect(at(['c:0 failed', 'w:1 to-come']).state).toBe('PAUSED');
    expect(decideRollout(beginRollout(0), factsOf(TWO, ['c:0 verified', 'w:1 to-come'], {}, shut), 1).course.state).toBe('READY');
  });
});

describe('a hotfix --now', () => {
  const approvals = { count: 1, role: 'approver', notAuthor: false } as const;
  const words = (...people: string[]) => ({ hotfix: { ...order, now: people.map((person) => ({ ...order, by: `token of ${person}`, person })) } });
  const at = (policy: typeof TWO, hosts: string[], orders: Partial<RolloutOrders>) =>
    decideRollout(beginRollout(0), factsOf(policy, hosts, orders), 1).course;
  const fresh = ['c:0 to-come', 'w:1 to-come'];

  test('of one administrator promotes the next ring at once where nobody has to approve', () => {
    expect(at(TWO, fresh, words('ada'))).toMatchObject({ state: 'ROLLING', ring: 1, provedRing: undefined });
    expect(at(TWO, fresh, { hotfix: order })).toMatchObject({ state: 'ROLLING', ring: 0 });
    expect(at(TWO, ['c:0 in-flight', 'w:1 to-come'], words('ada'))).toMatchObject({ state: 'ROLLING', ring: 1 });
  });

  test('takes two people where any ring has approvals, and passes over none of them', () => {
    const late = policyOf(3, [{}, {}, { approvals }]);
    const hosts = [...fresh, 'x:2 to-come'];
    for (const people of [['ada'], ['ada', 'ada']]) expect(at(late, hosts, words(...people))).toMatchObject({ state: 'ROLLING', ring: 0 });
    expect(at(late, hosts, words('ada', 'bob'))).toMatchObject({ state: 'WAITING_APPROVAL', ring: 2 });
    const first = policyOf(2, [{ approvals }]);
    expect(at(first, fresh, words('ada', 'bob'))).toMatchObject({ state: 'WAITING_APPROVAL', ring: 0 });
    const given = { ...words('ada', 'bob'), approvals: [{ ...order, ring: 0 }] };
    expect(at(first, fresh, given)).toMatchObject({ state: 'WAITING_APPROVAL', ring: 1 });
  });

  test('passes over no error gate, and completes nothing untried', () => {
    expect(at(TWO, ['c:0 failed', 'w:1 to-come'], words('ada'))).toMatchObject({ state: 'PAUSED', ring: 0 });
    const reached = at(TWO, fresh, words('ada'));
    expect(decideRollout(reached, factsOf(TWO, ['c:0 failed', 'w:1 to-come'], words('ada')), 2).course).toMatchObject({ state: 'PAUSED', ring: 1 });
    expect(decideRollout(reached, factsOf(TWO, fresh, words('ada')), HOUR).course.state).toBe('ROLLING');
    // Three of four are not 80 %.
    const most = ['c:0 to-come', 'w:1 verified', 'x:1 verified', 'y:1 verified', 'z:1 to-come'];
    expect(decideRollout(reached, factsOf(TWO, most, words('ada')), HOUR).course).toMatchObject({ state: 'ROLLING', ring: 1 });
  });

  test('of somebody who is no administrator counts for nothing', () => {
    const low = { hotfix: { ...order, now: [{ ...order, role: 'operator' as const }] } };
    expect(at(TWO, fresh, low)).toMatchObject({ state: 'ROLLING', ring: 0 });
  });
});

test('a soak that began under a clock that was a year ahead lasts as long as any other', () => {
  const year = 365 * 24 * HOUR;
  const soaking = decideRollout(beginRollout(year), factsOf(TWO, ['c:0 verified', 'w:1 to-come']), year).course;
  const corrected = decideRollout(soaking, factsOf(TWO, ['c:0 verified', 'w:1 to-come']), 0).course;
  expect(corrected).toMatchObject({ state: 'SOAKING', since: 0 });
  expect(decideRollout(corrected, factsOf(TWO, ['c:0 verified', 'w:1 to-come']), HOUR).course.ring).toBe(1);
});

test('an abort ends a rollout in every state that is not an end', () => {
  for (const state of ['WAITING_APPROVAL', 'READY', 'ROLLING', 'SOAKING', 'PAUSED'] as const)
    expect(decideRollout({ ...beginRollout(0), state }, factsOf(TWO, ['c:0 to-come'], { abort: order }), 1).course.state).toBe('ABORTED');
  for (const state of ['COMPLETE', 'ABORTED', 'SUPERSEDED'] as const)
    expect(eventsOf({ ...beginRollout(0), state }, factsOf(TWO, ['c:0 to-come-'], { abort: order }), 1)).toEqual([]);
});
