import fc from 'fast-check';
import { expect, test } from 'vitest';
import { loosened } from '../test/loosened.ts';
import { factsOf, policyOf } from '../test/rollout-facts.ts';
import { mayLoosen, missingApprovals, peopleNotAsked, personOf, type ApprovalFacts } from './approvals.ts';
import type { RolloutCourse } from './course.ts';
import { decideRollout } from './decide.ts';
import { PROGRESS } from './progress.ts';
import { promotedRings } from './table.ts';
import { ROLLOUT_STATES } from '../rollout-state.ts';

// Nobody is changed, and nothing becomes the policy that later ones are compared with, without the approvals that it needs: in whatever
// state a rollout is found, whoever left, came late or was never there.

const RINGS = 3;
const anyCourse: fc.Arbitrary<RolloutCourse> = fc.record({
  state: fc.constantFrom(...ROLLOUT_STATES),
  ring: fc.nat(RINGS - 1),
  since: fc.nat(5),
  ringSince: fc.nat(5),
  pause: fc.constantFrom(undefined, { cause: 'after-ring' } as const),
  provedRing: fc.option(fc.nat(RINGS - 1), { nil: undefined }),
});
const anyHost = fc
  .tuple(fc.constantFrom('ada', 'bob', 'cyd'), fc.nat(RINGS - 1), fc.constantFrom(...PROGRESS), fc.constantFrom('', '-', '~', '!'))
  .map(([host, ring, progress, mark]) => `${host}:${ring} ${progress}${mark}`);
const anyApproval = fc.record({
  ring: fc.nat(RINGS - 1),
  by: fc.constantFrom('eve', 'ada', 'bob'),
  role: fc.constantFrom('approver' as const, 'administrator' as const),
  reason: fc.constant('seen'),
  at: fc.constant(1),
  loosens: fc.constantFrom(undefined, [], ['id of ring-0: pauses later']),
});
const anyApprovals = fc.constantFrom(undefined, { count: 1, role: 'approver', notAuthor: false } as const);

test('no ring begins, and no rollout ends, without its approvals: also of an empty or a late one', () => {
  let decided = 0;
  fc.assert(
    fc.property(
      anyCourse,
      fc.array(anyHost, { maxLength: 4 }),
      fc.array(anyApproval, { maxLength: 3 }),
      fc.array(anyApprovals, { minLength: RINGS, maxLength: RINGS }),
      fc.constantFrom([], loosened('ring-0: pauses later')),
      (course, hosts, approvals, needed, weaker) => {
        const policy = policyOf(
          RINGS,
          needed.map((each) => ({ approvals: each, soakMs: 0 })),
        );
        const facts = factsOf(policy, hosts, { approvals, resume: { by: 'ada', role: 'operator', reason: '', at: 1, of: course.since } }, { weaker });
        const { steps } = decideRollout(course, facts, 9);
        decided += steps.length;
        for (const { event, from, to } of steps) {
          const missing = missingApprovals(from, facts);
          if (event === 'approved') expect(missing).toBeUndefined();
          if (event === 'finished' && from.state === 'WAITING_APPROVAL') expect(missing?.weaker ?? []).toEqual([]);
          // What begins has waited for its approvals: nothing else leads into a ring.
          if (promotedRings(to) > promotedRings(from) && event !== 'finished') {
            const isWaiting =
              from.state === 'READY' || event === 'skipped' || event === 'soaked' || event === 'resumed' || event === 'grown' || event === 'changed';
            expect(isWaiting, `${from.state} ${event} ${to.state}`).toBe(true);
            if (event !== 'opened' && from.state !== 'SOAKING') expect(to.state).toBe('WAITING_APPROVAL');
          }
        }
      },
    ),
    { numRuns: Math.max(2_000, fc.readConfigureGlobal().numRuns ?? 0) },
  );
  expect(decided).toBeGreaterThan(500);
});

const PEOPLE = ['ada', 'bob', 'cyd'] as const;
const anyToken = fc.record({
  by: fc.constantFrom('ada', 'ada-phone', 'bob', 'cyd', 'cyd-ci'),
  person: fc.constantFrom(undefined, ...PEOPLE),
  role: fc.constantFrom('approver' as const, 'administrator' as const),
  ring: fc.nat(1),
  reason: fc.constant('seen'),
  at: fc.constant(1),
});
const anyAuthors = fc.record({ authors: fc.subarray([...PEOPLE]), hasUnknownAuthor: fc.boolean() });

test('people approve, not tokens; no author does where others are wanted, and where the authors are not known nobody does', () => {
  fc.assert(
    fc.property(
      fc.array(anyToken, { maxLength: 5 }),
      anyAuthors,
      fc.record({
        count: fc.integer({ min: 1, max: 3 }),
        role: fc.constantFrom('approver' as const, 'administrator' as const),
        notAuthor: fc.boolean(),
      }),
      (given, written, wanted) => {
        const { authors, hasUnknownAuthor } = written;
        const facts = factsOf(policyOf(2, [{ approvals: wanted }]), ['ada:0 to-come'], { approvals: given }, written);
        const missing = missingApprovals({ ring: 0, provedRing: undefined }, facts)?.count ?? 0;
        const people = PEOPLE.filter((person) =>
          given.some(
            ({ by, person: whose = by, role, ring }) => whose === person && ring === 0 && (wanted.role === 'approver' || role === 'administrator'),
          ),
        );
        const tokens = new Set(given.filter(({ by, person = by }) => !PEOPLE.some((each) => each === person)).map(({ by }) => by));
        const others = wanted.notAuthor ? people.filter((person) => !hasUnknownAuthor && !authors.some((each) => each === person)) : people;
        expect(missing).toBeGreaterThanOrEqual(Math.max(0, wanted.count - others.length - tokens.size));
        if (wanted.notAuthor && hasUnknownAuthor) expect(missing).toBe(wanted.count);
        // Another token of a person who has approved changes nothing.
        const [first] = given;
        if (first === undefined) return;
        const twice = [...given, { ...first, by: 'another-token', person: personOf(first) }];
        expect(missingApprovals({ ring: 0, provedRing: undefined }, { ...facts, orders: { ...facts.orders, approvals: twice } })?.count ?? 0).toBe(
          missing,
        );
      },
    ),
    { numRuns: Math.max(1_000, fc.readConfigureGlobal().numRuns ?? 0) },
  );
});

test('who is known to have brought a weaker policy does not approve it, unless there is no other administrator', () => {
  const by = (person: string) => ({
    approvals: [{ by: person, role: 'administrator' as const, reason: '', at: 1, ring: 0, loosens: ['id of no soak'] }],
  });
  const isHeld = (authors: readonly string[], hasOtherAdministrator: boolean, hasUnknownAuthor = false): boolean =>
    missingApprovals(
      { ring: 0, provedRing: undefined },
      factsOf(policyOf(2), ['ada:0 to-come'], by('ada'), { authors, hasUnknownAuthor, hasOtherAdministrator, weaker: loosened('no soak') }),
    ) !== undefined;
  expect([isHeld(['ada'], true), isHeld(['ada'], false), isHeld(['bob'], true)]).toEqual([true, false, false]);
  // A push of somebody who is not known frees nobody who is.
  expect([isHeld(['ada'], true, true), isHeld(['bob'], true, true), isHeld([], true, true)]).toEqual([true, false, false]);
});

test('a ring that has begun waits for approval again when what was approved changed, or when nobody approved what it loosens', () => {
  let again = 0;
  fc.assert(
    fc.property(
      anyCourse,
      fc.array(anyHost, { maxLength: 4 }),
      fc.array(fc.tuple(anyToken, fc.constantFrom(undefined, 'before', 'now')), { maxLength: 3 }),
      fc.array(anyApprovals, { minLength: RINGS, maxLength: RINGS }),
      fc.constantFrom([], loosened('ring-0: pauses later')),
      anyAuthors,
      fc.boolean(),
      (course, hosts, given, needed, weaker, written, hasOtherAdministrator) => {
        const policy = policyOf(
          RINGS,
          needed.map((approvals) => ({ approvals })),
        );
        const approvals = given.map(([approval, binds]) => ({ ...approval, binds }));
        const facts = factsOf(policy, hosts, { approvals }, { weaker, ...written, hasOtherAdministrator, binds: 'now' });
        const [step] = decideRollout(course, facts, 9).steps;
        const ofNow = approvals.filter(({ binds }) => binds !== 'before');
        // What was given for something else counts for nothing.
        expect(missingApprovals(course, facts)).toEqual(missingApprovals(course, { ...facts, orders: { ...facts.orders, approvals: ofNow } }));
        if (step?.event === 'approved') expect(missingApprovals(course, { ...facts, orders: { ...facts.orders, approvals: ofNow } })).toBeUndefined();
        if (step?.event !== 'changed') return;
        again += 1;
        const isNamed = approvals.some(({ role, binds }) => role === 'administrator' && binds === 'now');
        expect(ofNow.length < approvals.length || (weaker.length > 0 && !isNamed)).toBe(true);
        expect([step.to.state, promotedRings(step.to) > course.ring]).toEqual(['WAITING_APPROVAL', false]);
        // Those who approve it again let it go on, whatever was approved before.
        const renewed = approvals.map((each) => ({ ...each, binds: 'now' }));
        const next = decideRollout(step.to, { ...facts, orders: { ...facts.orders, approvals: renewed } }, 10).steps[0];
        expect(['approved', 'skipped', 'finished', 'failed']).toContain(next?.event ?? 'approved');
      },
    ),
    { numRuns: Math.max(5_000, fc.readConfigureGlobal().numRuns ?? 0) },
  );
  expect(again).toBeGreaterThan(20);
});

test('whoever is not asked any more would change nothing, whatever their role, and anybody else with the highest role does', () => {
  const people = ['eve', 'ada', 'bob'] as const;
  const anyRole = fc.constantFrom('approver' as const, 'administrator' as const);
  let [asked, notAsked] = [0, 0];
  fc.assert(
    fc.property(
      fc.array(anyApproval, { maxLength: 4 }),
      fc.record({ count: fc.nat({ max: 3 }), role: anyRole, notAuthor: fc.boolean() }),
      fc.record({
        authors: fc.subarray([...people]),
        hasUnknownAuthor: fc.boolean(),
        hasOtherAdministrator: fc.boolean(),
        weaker: fc.constantFrom([], loosened('ring-0: pauses later')),
        binds: fc.constantFrom(undefined, 'now'),
      }),
      anyRole,
      (approvals, needed, rest, role) => {
        const facts: ApprovalFacts = factsOf(policyOf(RINGS, [{ approvals: needed }]), [], { approvals }, rest);
        const course = { ring: 0, provedRing: undefined };
        const before = missingApprovals(course, facts);
        const silent = peopleNotAsked(course, facts);
        for (const person of people) {
          const helps = (as: typeof role): boolean => {
            const by = { by: `${person}-laptop`, person, role: as, reason: '', at: 2, ring: 0, binds: rest.binds };
            const loosens = mayLoosen(by, facts) ? rest.weaker.map(({ id }) => id) : [];
            const after = missingApprovals(course, { ...facts, orders: { ...facts.orders, approvals: [...approvals, { ...by, loosens }] } });
            return before !== undefined && (after === undefined || after.count < before.count || after.weaker.length < before.weaker.length);
          };
          const isKnown = rest.authors.includes(person) || approvals.some((each) => personOf(each) === person);
          if (silent.includes(person)) expect(helps(role), person).toBe(false);
          else if (before !== undefined && isKnown) expect(helps('administrator'), person).toBe(true);
          if (silent.includes(person)) notAsked += 1;
          else asked += 1;
        }
      },
    ),
    { numRuns: 1_000 },
  );
  expect(Math.min(asked, notAsked)).toBeGreaterThan(100);
});
