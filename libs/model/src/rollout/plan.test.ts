import fc from 'fast-check';
import { expect, test } from 'vitest';
import { answer, factsOf, HOUR, MINUTE, policyOf } from '../test/rollout-facts.ts';
import { anyPolicy } from '../test/rollout-policies.ts';
import { beginRollout, type Approval, type RolloutCourse } from './course.ts';
import { decideRollout } from './decide.ts';
import type { RolloutFacts } from './facts.ts';
import { PLAN_HOLDS, planRollout } from './plan.ts';

const always = (_ring: number, at: number): number => at;
const APPROVAL = { count: 1, role: 'approver', notAuthor: false } as const;

test('names for each ring who, when and under which gates', () => {
  const policy = policyOf(3, [{}, { approvals: APPROVAL }]);
  const plan = planRollout(beginRollout(0), factsOf(policy, ['c:0 to-come', 'a:1 away', 'b:1 to-come', 'x:1 to-come-']), { now: 0, opensAt: always });
  expect(plan).toMatchObject([
    { name: 'ring-0', hosts: ['c'], beginsAt: 0, passesAt: 30 * MINUTE, missingApprovals: undefined },
    { name: 'ring-1', hosts: ['a', 'b'], beginsAt: 30 * MINUTE, passesAt: 40 * MINUTE, missingApprovals: { count: 1 } },
    { name: 'ring-2', hosts: [], isSkipped: true, beginsAt: undefined, passesAt: undefined },
  ]);
  expect(plan[0]?.gates).toEqual([
    'pauses when any host failed',
    'at least 1 verified',
    '80 % of the started hosts verified',
    'soak 30 min',
    'deadline 1 d',
  ]);
});

test('the first ring that changes has the gates and the approvals of the first ring', () => {
  const policy = policyOf(2, [{ approvals: APPROVAL }]);
  const [skipped, all] = planRollout(beginRollout(0), factsOf(policy, ['a:1 to-come']), { now: 0, opensAt: always });
  expect(skipped).toMatchObject({ isSkipped: true });
  expect(all).toMatchObject({ beginsAt: 0, passesAt: 30 * MINUTE, missingApprovals: { count: 1 } });
  expect(all?.gates).toEqual(expect.arrayContaining(['1 approval (approver or higher)', 'pauses when any host failed', 'soak 30 min']));
});

test('a ring begins when its window opens, and a freeze that ends is waited for', () => {
  const facts = (until?: number) => {
    const freeze = { by: 'eve', reason: 'holidays', at: 0, until };
    return factsOf(policyOf(2), ['c:0 to-come', 'a:1 to-come'], until === undefined ? {} : { freeze });
  };
  const opensAt = (ring: number, at: number): number => (ring === 0 ? at : Math.max(at, 5 * HOUR));
  expect(planRollout(beginRollout(0), facts(), { now: 0, opensAt })[1]).toMatchObject({ beginsAt: 5 * HOUR, passesAt: 5 * HOUR + 10 * MINUTE });
  expect(planRollout(beginRollout(0), facts(6 * HOUR), { now: 0, opensAt })).toMatchObject([
    { beginsAt: 6 * HOUR, passesAt: 6.5 * HOUR },
    { beginsAt: 6.5 * HOUR },
  ]);
  expect(planRollout(beginRollout(0), facts(), { now: 0, opensAt: (ring, at) => (ring === 0 ? at : undefined) })).toMatchObject([
    { passesAt: 30 * MINUTE, held: undefined },
    { beginsAt: undefined, passesAt: undefined, held: 'window' },
  ]);
});

test('what a person or an older rollout ends has no time, but gates and hosts', () => {
  const facts = factsOf(policyOf(2, [{ pauseAfter: true }]), ['c:0 to-come', 'a:1 to-come']);
  const [first, second] = planRollout(beginRollout(0), facts, { now: 0, opensAt: always });
  expect(first).toMatchObject({ beginsAt: 0, passesAt: 30 * MINUTE, held: undefined });
  expect(second).toMatchObject({ hosts: ['a'], beginsAt: undefined, passesAt: undefined, held: 'person' });
  const next: RolloutCourse = { ...beginRollout(0), state: 'NEXT' };
  for (const heldBefore of PLAN_HOLDS)
    for (const ring of planRollout(next, facts, { now: 0, opensAt: always, heldBefore }))
      expect(ring).toMatchObject({ beginsAt: undefined, held: heldBefore });
  expect(planRollout(next, facts, { now: 0, opensAt: always })).toEqual(planRollout(beginRollout(0), facts, { now: 0, opensAt: always }));
  const frozen = factsOf(policyOf(1), ['c:0 to-come'], { freeze: { by: 'eve', reason: 'holidays', at: 0, until: undefined } });
  expect(planRollout(beginRollout(0), frozen, { now: 0, opensAt: always })).toMatchObject([{ beginsAt: undefined, held: 'person' }]);
  const failed: RolloutCourse = { ...beginRollout(0), state: 'PAUSED', pause: { cause: 'failures', count: 1, failures: [] } };
  expect(planRollout(failed, factsOf(policyOf(1), ['c:0 failed']), { now: 9, opensAt: always })).toMatchObject([{ held: 'person' }]);
  for (const state of ['ABORTED', 'SUPERSEDED'] as const) expect(planRollout({ ...next, state }, facts, { now: 0, opensAt: always })).toEqual([]);
});

/** A window that is open for some minutes of each period. */
interface Repeated {
  readonly everyMs: number;
  readonly openMs: number;
}
const anyWindow = fc.record({ everyMs: fc.constantFrom(MINUTE, 20 * MINUTE, 90 * MINUTE), openMs: fc.constantFrom(MINUTE, 7 * MINUTE) });
const opens = ({ everyMs, openMs }: Repeated, at: number): number => (at % everyMs < openMs ? at : Math.ceil(at / everyMs) * everyMs);

const anyFleet = fc.array(fc.tuple(fc.nat({ max: 2 }), fc.constantFrom('to-come', 'to-come-', 'away', 'in-flight', 'verified')), { maxLength: 6 });
const anyGiven = fc.record({
  policy: anyPolicy,
  fleet: anyFleet,
  windows: fc.array(anyWindow, { minLength: 3, maxLength: 3 }),
  minutes: fc.nat({ max: 90 }),
});

test('it is what the rollout does when everybody verifies, approves and resumes at once, and its times never fall', () => {
  let compared = 0;
  fc.assert(
    fc.property(anyGiven, ({ policy, fleet, windows, minutes }) => {
      const now = 1000 * HOUR + minutes * MINUTE;
      const hosts = fleet.map(([ring, progress], index) => `h${index}:${Math.min(ring, policy.rings.length - 1)} ${progress}`);
      const given = factsOf(policy, hosts);
      const opensAt = (ring: number, at: number): number => opens(windows[ring] ?? { everyMs: MINUTE, openMs: MINUTE }, at);
      const plan = planRollout(beginRollout(now), given, { now, opensAt });
      // What comes of it, minute by minute.
      const came = follow(given, now, opensAt);
      for (const { name, beginsAt, passesAt, isSkipped, held } of plan) {
        const real = came.get(name);
        expect(isSkipped, name).toBe(real?.beginsAt === undefined);
        if (held !== undefined || isSkipped) continue;
        expect({ beginsAt, passesAt }, name).toEqual(real);
        compared += 1;
      }
      expect(plan.map(({ name }) => name)).toEqual(policy.rings.map(({ name }) => name));
      const times = plan.flatMap(({ beginsAt, passesAt }) => [beginsAt, passesAt]).filter((time) => time !== undefined);
      expect(times).toEqual(times.toSorted((one, other) => one - other));
      // After the first ring without a time, no ring has one.
      const asked = plan.filter(({ isSkipped }) => !isSkipped).map(({ passesAt }) => passesAt !== undefined);
      expect(asked).toEqual(asked.toSorted((one, other) => Number(other) - Number(one)));
    }),
    { numRuns: 200 },
  );
  expect(compared).toBeGreaterThan(100);
});

/** When each ring began and passed: hosts verify as they begin, and whoever is asked approves or resumes at once. */
function follow(given: RolloutFacts, now: number, opensAt: (ring: number, at: number) => number) {
  const came = new Map<string, { beginsAt?: number; passesAt?: number }>();
  const nameOf = (ring: number): string => given.policy.rings[ring]?.name ?? '';
  let course = beginRollout(now);
  let { hosts } = given;
  const approvals: Approval[] = [];
  const goodAt = (askedAt: number) =>
    given.policy.rings.flatMap((_, ring) => ['errors', 'latency'].map((name) => answer({ ring, name, verdict: 'good', askedAt })));
  let resume: RolloutFacts['orders']['resume'];
  let verified = -1;
  for (let at = now; at < now + 24 * HOUR; at += MINUTE) {
    // Several looks in the same minute: hosts and people answer between them.
    for (let isAnswered = true; isAnswered;) {
      const windows = given.policy.rings.map((_, ring) => ({ isOpen: ring <= verified && opensAt(ring, at) === at, openMs: 0 }));
      const { course: next, steps } = decideRollout(
        course,
        { ...given, hosts, windows, probes: goodAt(at), orders: { ...given.orders, approvals, resume } },
        at,
      );
      for (const { event, from, to } of steps) {
        if (event === 'opened') came.set(nameOf(from.ring), { beginsAt: at });
        const hasPassed = event === 'soaked' || (event === 'finished' && from.state === 'SOAKING') || to.pause?.cause === 'after-ring';
        if (hasPassed) came.set(nameOf(from.ring), { ...came.get(nameOf(from.ring)), passesAt: at });
      }
      course = next;
      const { ring, since, state } = course;
      const by = { by: 'ada', role: 'administrator', reason: '', at } as const;
      if (state === 'COMPLETE') return came;
      isAnswered = state === 'WAITING_APPROVAL' || state === 'PAUSED' || (state === 'READY' && ring > verified);
      if (state === 'WAITING_APPROVAL') approvals.push({ ...by, ring });
      if (state === 'PAUSED') resume = { ...by, of: since };
      if (state !== 'READY' || !isAnswered) continue;
      verified = ring;
      hosts = hosts.map((host) => (host.ring <= ring ? { ...host, progress: 'verified' as const } : host));
    }
  }
  return came;
}
