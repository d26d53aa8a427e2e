import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isActivating } from '../agent/state.ts';
import type { StorePath } from '../brands.ts';
import { pathOf, policyOf } from '../test/rollout-facts.ts';
import { anyPolicy } from '../test/rollout-policies.ts';
import type { SteppingStone } from '../stepping-stone.ts';
import { RolloutWorld } from '../test/rollout-world.ts';
import { awaitedName, type WorldHost } from '../test/world-host.ts';
import { releaseIn } from '../test/world-revision.ts';
import { approvalsOf } from './approvals.ts';
import type { RolloutCourse } from './course.ts';
import { decideRollout, gatesOf, type RolloutDecision } from './decide.ts';
import type { RolloutFacts } from './facts.ts';
import { countRing, neededVerified } from './gate.ts';
import type { RolloutPolicy } from './policy.ts';
import { MAX_PROBE_TRIES } from './probes.ts';
import type { RingHost } from './progress.ts';
import { isEndedRollout, isRingPromoted } from './table.ts';

// A fleet with people, revisions and a clock, in which anything happens at any moment. SPEC.md, O4 to O18, O22 and D5 to D7, hold after
// everything that happens; and from wherever it led, a good revision reaches everyone who can be reached.

const MINUTE = 60_000;
const STEPS = [
  'tick',
  'advance',
  'fails',
  'lost',
  'later',
  'unheard',
  'leave',
  'return',
  'enrol',
  'replace',
  'revoke',
  'pin',
  'pin-back',
  'hold',
  'unpin',
  'override',
  'follow',
  'retry',
  'rename-in-flake',
  'rename',
  'enrol-next',
  'leave-flake',
  'back-in-flake',
  'good',
  'bad',
  'partly',
  'slow',
  'built',
  'all-built',
  'unknown',
  'evaluated',
  'all-evaluated',
  'stone',
  'freeze',
  'thaw',
  'stop-label',
  'start-label',
  'relabel',
  'resume',
  'abort',
  'revert',
  'approve',
  'approve-own',
  'hotfix',
  'now',
  'window',
  'probe-good',
  'probe-bad',
  'probe-silent',
  'minutes',
  'hours',
  'clock-back',
  'clock-ahead',
] as const;
type Step = readonly [what: (typeof STEPS)[number], who: number];

const anyStep: fc.Arbitrary<Step> = fc.tuple(
  // What moves a rollout on comes more often than what stops it.
  fc.oneof(
    { arbitrary: fc.constantFrom<(typeof STEPS)[number]>('tick', 'advance', 'minutes', 'approve', 'probe-good'), weight: 3 },
    { arbitrary: fc.constantFrom(...STEPS), weight: 2 },
  ),
  fc.nat({ max: 7 }),
);

/** Asserts what every decision has to keep. */
function checkDecision({ course, steps }: RolloutDecision, facts: RolloutFacts, from: RolloutCourse, now: number): void {
  // O14: the order of the hosts does not matter, and deciding again changes nothing. When it completes, stable advances.
  expect(decideRollout(from, { ...facts, hosts: facts.hosts.toReversed() }, now).course).toEqual(course);
  if (course.state !== 'COMPLETE' || steps.length === 0) expect(decideRollout(course, facts, now)).toEqual({ course, steps: [] });
  expect(steps.length).toBeLessThan((facts.policy.rings.length + 1) * 6);
  const isFrozen = facts.orders.freeze !== undefined && (facts.orders.freeze.until ?? Infinity) > now;
  if (isFrozen && !isEndedRollout(from.state)) expect(['PAUSED', 'ABORTED']).toContain(course.state);
  for (const { event, from: before, to } of steps) {
    const ring = facts.hosts.filter((host) => host.ring === before.ring);
    const counts = countRing(ring);
    const gates = gatesOf(facts.policy, before);
    // O27: no ring is asked while hosts of it, or of one before it, that are there are still built; and the last one while anybody is.
    const isLastRing = before.ring + 1 === facts.policy.rings.length;
    const isEvaluating = facts.evaluating !== undefined;
    const isAwaited = isEvaluating || facts.coming?.some(({ ring: of, isPresent }) => isLastRing || (isPresent && of <= before.ring)) === true;
    // O30: nobody approves what nobody has seen the whole of.
    if (event === 'approved' && isEvaluating) expect(approvalsOf(facts.policy, before).count).toBe(0);
    if (event === 'passed') {
      // O16: one person alone never suffices where approvals exist.
      const people = new Set(facts.orders.hotfix?.now?.map(({ by }) => by)).size;
      const isNow = before.provedRing === undefined && people >= (facts.policy.rings.some(({ approvals }) => approvals !== undefined) ? 2 : 1);
      const isLast = before.ring + 1 === facts.policy.rings.length;
      expect(isAwaited && !isNow).toBe(false);
      expect((isNow && !isLast) || counts.eligible === 0 || counts.verified >= neededVerified(gates, counts)).toBe(true);
      if (gates.errors.percent === 0 && gates.errors.minStarted === 1) expect(counts.failed).toBe(0);
    }
    // O29: a commit that hosts of later rings are to get has been run, where hosts of the rings reached are asked to.
    if (event === 'passed' || event === 'soaked') {
      const isProved = (change: number | undefined): boolean => facts.hosts.some((host) => host.change === change && host.progress === 'verified');
      const isAskedYet = (change: number | undefined): boolean =>
        facts.hosts.some(
          (host) => host.change === change && host.ring <= before.ring && host.isEligible && !(host.progress === 'failed' && host.isAcknowledged),
        );
      const later = facts.hosts.filter(
        (host) => host.ring > before.ring && host.isEligible && host.progress !== 'verified' && host.progress !== 'failed',
      );
      const untried = later.filter(({ change }) => gates.minVerified > 0 && isAskedYet(change) && !isProved(change));
      if (facts.orders.hotfix?.now === undefined || facts.orders.hotfix.now.length === 0) expect(untried.map(({ host }) => host)).toEqual([]);
    }
    if (event === 'soaked' || event === 'finished' || event === 'skipped') expect(isAwaited).toBe(false);
    if (event === 'left') expect(isEvaluating).toBe(false);
    // O9: nobody leaves a ring but by its gate and its soak, unless nobody is in it.
    // O28: of what was complete already, with nobody of it there.
    if (event === 'skipped' && before.state === 'ROLLING')
      expect([before.isReopened, counts.verified + counts.inFlight + counts.toCome]).toEqual([true, counts.verified]);
    else if (event === 'skipped') expect(counts.eligible).toBe(0);
    if (event === 'left') {
      const reached = facts.hosts.filter(
        ({ isEligible, progress, isBrieflyAway }) =>
          isEligible && progress !== 'verified' && progress !== 'waiting' && (progress !== 'away' || isBrieflyAway),
      );
      expect(before.isReopened).toBe(true);
      expect(reached.filter(({ ring: of, progress, isAcknowledged }) => of <= before.ring && !(progress === 'failed' && isAcknowledged))).toEqual([]);
    }
    if (to.ring > before.ring) expect(['skipped', 'soaked', 'resumed', 'left']).toContain(event);
    if (event === 'soaked' && facts.orders.hotfix === undefined) expect(now - before.since).toBeGreaterThanOrEqual(gates.soakMs);
    if (event === 'resumed' && to.ring > before.ring) expect(before.pause?.cause).toBe('after-ring');
    // O25: with each probe of the ring asked once more after the soak, also in a hotfix; what pauses is bad, or long without an answer.
    const isLeft = before.state === 'SOAKING' && (event === 'soaked' || event === 'finished' || to.pause?.cause === 'after-ring');
    if (isLeft)
      for (const { name } of [...(facts.policy.rings[before.ring]?.probes ?? []), ...gates.probes]) {
        const answer = facts.probes.find((each) => each.ring === before.ring && each.name === name);
        expect(answer).toMatchObject({ verdict: 'good', isAcknowledged: false });
        const after = facts.orders.hotfix === undefined ? before.since + gates.soakMs : before.since;
        expect(answer?.askedAt).toBeGreaterThanOrEqual(after);
        expect(answer?.askedAt).toBeLessThanOrEqual(now);
      }
    if (to.pause?.cause === 'probe') {
      expect(to.pause.answers.length).toBeGreaterThan(0);
      for (const { name, number } of to.pause.answers) {
        const answer = facts.probes.find((each) => each.ring === before.ring && each.name === name);
        expect(answer).toMatchObject({ number, isAcknowledged: false });
        expect(answer?.verdict === 'bad' || (answer?.verdict === 'unknown' && answer.tries >= MAX_PROBE_TRIES)).toBe(true);
      }
    }
    // O10: before anybody changes, the approvals of the first ring are there.
    if (event === 'approved' && before.provedRing === undefined && facts.policy.rings[0]?.approvals !== undefined)
      expect(facts.orders.approvals.some((each) => each.ring === before.ring && each.by !== 'eve')).toBe(true);
    // O16: a hotfix passes over no approval, whoever asked for it.
    const own = facts.policy.rings[before.ring]?.approvals;
    if (event === 'approved' && own !== undefined) {
      const people = new Set(facts.orders.approvals.filter((each) => each.ring === before.ring).map(({ by }) => by));
      expect(people.size).toBeGreaterThanOrEqual(own.count);
    }
    // O12: what was acknowledged does not pause again.
    if (to.pause?.cause === 'failures')
      for (const { host, toplevel } of to.pause.failures) {
        const found = facts.hosts.find((each) => each.host === host);
        const earlier = found?.failedBefore?.find((each) => each.toplevel === toplevel);
        if (earlier === undefined) expect(found).toMatchObject({ toplevel, isEligible: true, isAcknowledged: false });
        else {
          // With an earlier commit that others are still to get, and that nobody runs.
          expect(earlier.isAcknowledged).toBe(false);
          const same = facts.hosts.filter(({ change }) => change === earlier.change);
          expect(same.some(({ isEligible }) => isEligible)).toBe(true);
          expect(same.some(({ progress }) => progress === 'verified')).toBe(false);
        }
      }
    // O4: no completion untried.
    if (event === 'finished') {
      const asked = facts.hosts.filter(({ ring: of }) => of === before.ring || before.unapproved?.includes(of) !== true);
      const eligible = asked.filter(({ isEligible }) => isEligible);
      expect(untriedOf({ hosts: asked })).toEqual([]);
      const isTried = before.provedRing !== undefined || eligible.some(({ progress }) => progress === 'verified');
      expect(isTried || eligible.length === 0).toBe(true);
    }
  }
  // O25: nobody else is asked while a probe says no.
  const isBad = facts.probes.some(({ ring, name, verdict, isAcknowledged }) => {
    return ring === course.ring && verdict === 'bad' && !isAcknowledged && gatesOf(facts.policy, course).probes.some((probe) => probe.name === name);
  });
  if (isBad) expect(['ROLLING', 'SOAKING']).not.toContain(course.state);
  // O12: a canary that failed with this system has failed with it in this rollout, too; and so has another host with its very system.
  const strict = gatesOf(facts.policy, { ...course, ring: 0 }, 0);
  const isPassedOver = (ring: number): boolean => ring !== course.ring && course.unapproved?.includes(ring) === true;
  const asked = new Set(facts.hosts.flatMap(({ ring, isEligible, toplevel }) => (ring === 0 && isEligible && !isPassedOver(0) ? [toplevel] : [])));
  const isCarried = facts.hosts.some((host) => asked.has(host.toplevel) && host.isEligible && host.progress === 'failed' && !host.isAcknowledged);
  if (isCarried && strict.errors.percent === 0 && strict.errors.minStarted === 1) expect(['PAUSED', 'ABORTED', 'COMPLETE']).toContain(course.state);
}

/** O31: who waits for its rename, or left the flake, counts by what failed on it alone, and in its ring that holds up everybody. */
function checkGone(world: RolloutWorld, { course, steps }: RolloutDecision, facts: RolloutFacts, from: RolloutCourse): void {
  const names = new Set(world.hosts.filter(({ called, name }) => called !== name).map(({ name }) => name));
  const gone = facts.hosts.filter(({ host }) => names.has(host));
  if (gone.length === 0) return;
  for (const { to } of steps) {
    const named = to.pause?.cause === 'failures' ? to.pause.failures : [];
    for (const { host, toplevel } of named.filter((failure) => names.has(failure.host)))
      expect(
        gone.some((each) => each.host === host && each.failedBefore?.some((failed) => failed.toplevel === toplevel && !failed.isAcknowledged)),
      ).toBe(true);
  }
  const isUnseen = ({ failedBefore = [] }: RingHost): boolean => failedBefore.some(({ isAcknowledged }) => !isAcknowledged);
  const hosts = facts.hosts.filter((each) => !names.has(each.host) || isUnseen(each));
  if (from.pause?.cause !== 'failures') expect(decideRollout(from, { ...facts, hosts }, world.now).course).toEqual(course);
  if (isEndedRollout(course.state)) return;
  const isAsked = ({ ring, isEligible }: RingHost): boolean => isEligible && (ring === course.ring || course.unapproved?.includes(ring) !== true);
  const toCome = facts.hosts.filter((each) => isAsked(each) && each.progress !== 'verified' && each.progress !== 'failed');
  const runs = new Set(facts.hosts.filter(({ progress }) => progress === 'verified').map(({ change }) => change));
  for (const { ring, failedBefore = [] } of gone) {
    const { errors } = gatesOf(facts.policy, course, ring);
    if (ring > course.ring || errors.percent > 0 || errors.minStarted > 1) continue;
    const isCarried = failedBefore.some(
      ({ change, isAcknowledged }) => !isAcknowledged && !runs.has(change) && toCome.some((each) => each.change === change),
    );
    if (isCarried) expect(course.state).toBe('PAUSED');
  }
}

/** O4: groups of hosts with the same change, of which nobody was verified. */
function untriedOf({ hosts }: Pick<RolloutFacts, 'hosts'>): readonly (readonly string[])[] {
  const asked = hosts.filter(({ isEligible, progress, isAcknowledged }) => isEligible && (progress !== 'failed' || !isAcknowledged));
  const isTried = ({ toplevel }: RingHost): boolean => asked.some((other) => other.toplevel === toplevel && other.progress === 'verified');
  const groups = [
    ...Map.groupBy(asked, ({ toplevel }) => toplevel).values(),
    ...Map.groupBy(asked, (host) => `${host.ring}${host.platform}`).values(),
  ];
  return groups.filter((group) => group.length > 1 && !group.some(isTried)).map((group) => group.map(({ host }) => host));
}

/** An administrator takes the stones that failed on a host out of the policy. */
function removeStones(world: RolloutWorld): void {
  for (const host of world.hosts) if (world.isStuck(host, host.is.runs)) host.stones = [];
}

/** What was so before a step: who was changing, who was lost with what, and which stones were before whom. */
interface Began {
  readonly activating: ReadonlySet<WorldHost>;
  readonly lost: ReadonlyMap<WorldHost, StorePath>;
  readonly stones: ReadonlyMap<WorldHost, SteppingStone | undefined>;
}

/** What each had its `go` for, without a verdict in time. */
function lostIn(world: RolloutWorld): ReadonlyMap<WorldHost, StorePath> {
  return new Map(world.hosts.flatMap((host) => (host.went !== undefined && world.now > host.went.until ? [[host, host.went.toplevel]] : [])));
}

function isNamed({ course }: RolloutWorld, { name }: WorldHost): boolean {
  const { pause } = course ?? {};
  return pause?.cause === 'failures' && pause.failures.some(({ host }) => host === name);
}

/** Asserts what holds of the fleet after everything that happens. */
function checkFleet(world: RolloutWorld, before: ReadonlyMap<WorldHost, number>, { activating, lost, stones }: Began): void {
  const { course, policy } = world;
  for (const host of world.hosts) {
    const desired = world.desiredOf(host);
    // D6, D5.
    if (desired.kind === 'release') expect(host.quarantined).not.toContain(desired.release.toplevel);
    const { directed } = host;
    const isBack = (directed?.sequence ?? 0) < (before.get(host) ?? 0);
    // D7: back only to stable, from an aborted rollout, or by an administrator's pin.
    const isReverted = course?.state === 'ABORTED' && world.orders.abort?.isRevert === true && directed?.id === host.stable?.id;
    if (isBack) expect([directed?.permit !== undefined, isReverted || directed?.id === host.pin?.id]).toEqual([true, true]);
    if (directed !== undefined && directed.sequence < host.told) expect(directed.permit).toBeDefined();
    if (desired.kind === 'release' && desired.because === 'rollout' && course !== undefined)
      expect(isRingPromoted(course, world.ringOf(host))).toBe(true);
    checkApprovals(world, host);
  }
  checkPaused(world, { activating, lost });
  // O18: nobody begins outside of its own window.
  for (const host of world.hosts) {
    const hasBegun = host.is.state === 'ACTIVATING' && !activating.has(host);
    const isOfRollout = host.is.subject === world.newest?.toplevels.get(host.name) && host.pin === undefined && world.orders.abort === undefined;
    // Nor by a hold: it keeps a host on what it has, and brings it nothing that its rollout does not.
    if (hasBegun && host.hold?.toplevel === host.is.subject && host.pin === undefined && isOfRollout && course !== undefined) {
      const { subject } = host.is;
      const isOwn = host.stable?.toplevel === subject || (subject !== undefined && host.tried.has(subject));
      const mayBegin = isOwn || isRingPromoted(course, world.ringOf(host));
      expect(mayBegin || isNamed(world, host), `${host.name} begins by its hold`).toBe(true);
    }
    const desired = world.desiredOf(host);
    const isStable = hasBegun && desired.kind === 'release' && desired.because === 'stable' && desired.release.toplevel === host.is.subject;
    if (isStable && world.orders.hotfix === undefined) expect(world.isOpenFor(host)).toBe(true);
    if (hasBegun && isOfRollout && world.orders.hotfix === undefined && !isNamed(world, host)) expect(world.isOpenFor(host)).toBe(true);
  }
  // D11: nobody of a stopped label begins with anything but what a person ordered for that host, or has verified before under a hold.
  for (const host of world.hosts) {
    const { subject } = host.is;
    if (host.is.state !== 'ACTIVATING' || activating.has(host) || world.stopsOf(host).length === 0 || host.pin?.toplevel === subject) continue;
    const isOwn = host.hold?.toplevel === subject && (host.stable?.toplevel === subject || host.verified === subject);
    expect(isOwn, `${host.name} begins though its label is stopped`).toBe(true);
  }
  // D9: nobody of the fleet begins with what is beyond a stone that it has not run.
  for (const host of world.hosts) {
    const subject = host.is.state === 'ACTIVATING' && !activating.has(host) ? host.is.subject : undefined;
    const stone = stones.get(host);
    if (subject === undefined || stone === undefined || host.pin?.toplevel === subject) continue;
    const sequences = world.revisions.filter(({ toplevels }) => toplevels.get(host.name) === subject).map(({ sequence }) => sequence);
    expect(Math.min(...sequences), `${host.name} skips ${stone.id}`).toBeLessThanOrEqual(stone.sequence);
  }
  // O17: of those that change in fact. A place that ended by time may seem taken again when the clock is set back.
  const inFlight = world.hosts.filter(({ is }) => isActivating(is.state));
  expect(inFlight.length).toBeLessThanOrEqual(policy.maxInFlight ?? Infinity);
  for (const { label, atMost } of policy.budgets) expect(inFlight.filter(({ labels }) => labels.includes(label)).length).toBeLessThanOrEqual(atMost);
}

/** O18: while failures pause the rollout, what it keeps is begun by those hosts alone, with its system, and not where they were lost. */
function checkPaused(world: RolloutWorld, { activating, lost }: Pick<Began, 'activating' | 'lost'>): void {
  const { course, newest } = world;
  if (course?.state !== 'PAUSED') return;
  for (const host of world.hosts) {
    const { state, subject } = host.is;
    const desired = world.desiredOf(host);
    if (state !== 'ACTIVATING' || activating.has(host) || desired.kind !== 'release') continue;
    if (desired.because !== 'kept' && desired.because !== 'rollout') continue;
    const isMade = newest?.toplevels.get(host.name) === subject && !newest?.unknown.has(host.name) && !newest?.coming.has(host.name);
    expect([isNamed(world, host), isMade, lost.get(host) === subject], `${host.name} begins in a pause`).toEqual([true, true, false]);
  }
}

/** O26: what a host is told by a rollout, or is stable for it, had the approvals of its ring, unless a pin brought it there. */
function checkApprovals(world: RolloutWorld, host: WorldHost): void {
  const desired = world.desiredOf(host);
  if (desired.kind !== 'release' || (desired.because !== 'rollout' && desired.because !== 'stable')) return;
  if (world.policy.rings[host.ring]?.approvals === undefined) return;
  const { toplevel } = desired.release;
  const isSame = world.revisions.filter(({ toplevels }) => toplevels.get(host.name) === toplevel);
  const isApproved = isSame.some(({ sequence }) => world.approved.has(`${sequence} ${host.ring}`));
  expect(isApproved || host.tried.has(toplevel), `${host.name} is told ${toplevel} without approvals of ring ${host.ring}`).toBe(true);
}

function take(world: RolloutWorld, [what, who]: Step): void {
  const host = world.hosts[who % world.hosts.length];
  if (host === undefined) return;
  const release = world.revisions[who % Math.max(1, world.revisions.length)];
  const order = { by: 'ada', role: 'administrator', reason: 'because', at: world.now } as const;
  switch (what) {
    case 'tick':
      return world.tick();
    case 'advance':
      return world.advance(host, 'as-is');
    case 'fails':
    case 'lost':
    case 'later':
    case 'unheard':
      return world.advance(host, what);
    case 'leave':
      return world.disconnect(host);
    case 'return':
      return world.connect(host);
    case 'enrol':
      if (world.hosts.length < 8) world.addHost(`n${world.hosts.length}`, who % world.policy.rings.length, [], who % 2 === 0);
      host.isEnrolled = true;
      return;
    case 'replace':
      // The machine is set up again under its name: it knows nothing of what it had.
      host.is = { state: 'IDLE', subject: undefined, runs: world.hosts[0]?.is.runs ?? host.is.runs };
      host.went = undefined;
      host.accepted = 0;
      host.verified = undefined;
      return world.report(host);
    case 'revoke':
      // It may be changing: its place is taken until the watchdog has acted.
      world.disconnect(host);
      host.isEnrolled = false;
      return;
    case 'pin':
      host.pin = release && releaseIn(release, host);
      return;
    case 'pin-back': {
      const back = release && releaseIn(release, host);
      host.pin = back && { ...back, permit: { ...order, kind: 'pin' } };
      return;
    }
    case 'hold':
      // Of what it was told; until somebody ends it, or by itself.
      host.hold = host.directed;
      host.pinnedUntil = who % 2 === 0 ? Infinity : world.now + 20 * MINUTE;
      return;
    case 'unpin':
      host.pin = host.hold = undefined;
      return;
    case 'override':
      if (host.isConnected && host.is.state !== 'ACTIVATING') {
        host.isOverridden = true;
        host.is = { ...host.is, state: 'IDLE', subject: undefined };
      }
      return world.report(host);
    case 'follow':
      host.isOverridden = false;
      return;
    case 'retry':
      if (host.directed !== undefined && host.isConnected) {
        host.quarantined.delete(host.directed.toplevel);
        world.acknowledged.delete(`${host.name} ${host.directed.toplevel}`);
        if (host.is.state === 'ROLLED_BACK') host.is = { ...host.is, state: 'IDLE', subject: undefined };
      }
      return world.report(host);
    case 'rename-in-flake':
      // Perhaps once more, before the machine is.
      world.callOtherwise(host);
      return world.publish({ changes: () => who % 2 === 0, isBad: ({ name }) => who === 0 && name === 'h3', isSlow: () => who === 1 });
    case 'rename':
      return world.rename(host);
    case 'enrol-next':
      if (world.hosts.length < 8) world.replaceNext(host);
      return;
    case 'leave-flake':
      host.called = undefined;
      return world.publish({ changes: () => who % 2 === 0 });
    case 'back-in-flake':
      // The commit before it is reverted: the name is what the machine has.
      host.called = host.name;
      return world.publish({ changes: () => who % 2 === 0, isUnknown: () => who === 1 });
    case 'good':
      return world.publish();
    case 'bad':
      return world.publish({ isBad: ({ name }) => name !== 'h1' });
    case 'stone':
      return world.publish({ isBad: ({ name }) => who === 0 && name === 'h3', isStone: true });
    case 'slow':
      return world.publish({ isBad: ({ name }) => who === 0 && name === 'h3', isSlow: ({ name }) => (Number(name.slice(1)) + who) % 3 !== 0 });
    case 'built':
    case 'all-built':
      return world.build(what === 'all-built');
    case 'unknown':
      return world.publish({
        changes: ({ name }) => who < 4 || Number(name.slice(1)) % 3 === who % 3,
        isBad: ({ name }) => who === 0 && name === 'h3',
        isUnknown: ({ name }) => (Number(name.slice(1)) + who) % 3 !== 0,
        isSlow: ({ name }) => who % 2 === 0 && name === 'h1',
      });
    case 'evaluated':
    case 'all-evaluated':
      return world.evaluate(what === 'all-evaluated');
    case 'partly':
      return world.publish({ changes: ({ name }) => Number(name.slice(1)) % 3 === who % 3, isBad: () => who > 5 });
    case 'freeze':
      world.freeze = { by: 'ada', reason: 'holidays', at: world.now, until: who > 3 ? undefined : world.now + 30 * MINUTE };
      return;
    case 'thaw':
      world.freeze = undefined;
      return;
    case 'stop-label':
      world.stops = [{ label: 'dns', by: 'ada', reason: 'because', at: world.now, until: who > 3 ? undefined : world.now + 30 * MINUTE }];
      return;
    case 'start-label':
      world.stops = [];
      return;
    case 'relabel':
      if (!isActivating(host.is.state)) host.labels = host.labels.includes('dns') ? [] : ['dns'];
      return;
    case 'resume':
      return world.resume();
    case 'abort':
      // Rare: nothing more comes of the rollout.
      if (who === 0) world.orders = { ...world.orders, abort: order };
      return;
    case 'revert':
      if (who < 2) world.orders = { ...world.orders, abort: { ...order, isRevert: true } };
      return;
    case 'approve':
      return world.approve('ada');
    case 'approve-own':
      return world.approve('eve');
    case 'hotfix':
      world.orders = { ...world.orders, hotfix: { ...order, now: world.orders.hotfix?.now ?? [] } };
      return;
    case 'now': {
      const { hotfix } = world.orders;
      const now = [...(hotfix?.now ?? []), { ...order, by: who % 2 === 0 ? 'ada' : 'bob' }];
      world.orders = { ...world.orders, hotfix: { ...(hotfix ?? order), now } };
      return;
    }
    case 'probe-good':
      return world.ask('good');
    case 'probe-bad':
      return world.ask('bad');
    case 'probe-silent':
      return world.ask('unknown', 2 * who + 1);
    case 'window': {
      const zone = who % 2 === 0 ? 'near' : 'far';
      const open = world.isOpen[who % world.isOpen.length];
      if (who < 4) open?.delete(zone);
      else open?.add(zone);
      return;
    }
    case 'minutes':
      return world.pass(MINUTE * (who + 1));
    case 'hours':
      return world.pass(30 * MINUTE * (who + 1));
    case 'clock-back':
      return world.pass(-60 * MINUTE * (who + 1));
    case 'clock-ahead':
      return world.pass(365 * 24 * 60 * MINUTE);
  }
}

function play(policy: RolloutPolicy, steps: readonly Step[], reached = new Set<string>()): RolloutWorld {
  const world: RolloutWorld = new RolloutWorld(policy, 5, (decision, facts, from) => {
    try {
      checkDecision(decision, facts, from, world.now);
      checkGone(world, decision, facts, from);
    } catch (error) {
      const taken = decision.steps.map(({ event, to }) => `${event} → ${to.state} ${to.ring}`);
      const fleet = facts.hosts.map(({ host, ring, progress, isEligible }) => `${host}:${ring} ${progress}${isEligible ? '' : '-'}`);
      throw new Error(JSON.stringify({ from, taken, fleet }), { cause: error });
    }
  });
  for (const step of steps) {
    const before = new Map(world.hosts.map((host) => [host, host.directed?.sequence ?? 0]));
    const activating = new Set(world.hosts.filter(({ is }) => is.state === 'ACTIVATING'));
    const stones = new Map(world.hosts.map((host) => [host, world.stoneOf(host)]));
    const lost = lostIn(world);
    take(world, step);
    checkFleet(world, before, { activating, lost, stones });
    reached.add(world.course?.state ?? 'none');
  }
  return world;
}

/** At least so many; `npm run fuzz` asks for more. */
const runs = (atLeast: number): number => Math.max(atLeast, fc.readConfigureGlobal().numRuns ?? 0);

const anyStory = fc.tuple(anyPolicy, fc.array(anyStep, { maxLength: 120, size: 'max' }));

describe('rollouts of any fleet, by any people, at any time', () => {
  test('keep their invariants (SPEC O4, O9 to O18, O23, O26 to O28, O30, D5 to D7, D9)', () => {
    fc.assert(
      fc.property(anyStory, ([policy, steps]) => {
        play(policy, steps);
      }),
      { numRuns: runs(400) },
    );
  });

  test('let nobody begin in a pause but whom it names, with what the rollout has, when a person had it try again (O18)', () => {
    const around = fc.constantFrom<Step[0]>('advance', 'fails', 'unheard', 'return', 'retry', 'partly', 'hours', 'tick');
    // Mostly of one host: by chance alone it would seldom fail, be retried and ask.
    const anyMove: fc.Arbitrary<Step> = fc.tuple(around, fc.constantFrom(0, 0, 0, 1, 2));
    const policy = policyOf(2, [{ soakMs: 0, deadlineMs: undefined }]);
    fc.assert(
      fc.property(fc.array(anyMove, { minLength: 10, maxLength: 40, size: 'max' }), (moves) => {
        // The server looks after everything.
        play(
          policy,
          [['good', 0] as const, ...moves].flatMap((move) => [move, ['tick', 0] as const]),
        );
      }),
      { numRuns: runs(200) },
    );
  });

  test('are held up by what failed on whoever is called otherwise by now, until a person saw it (O12, O31)', () => {
    const names = ['rename-in-flake', 'leave-flake', 'back-in-flake', 'rename', 'enrol-next'] as const;
    const around = fc.constantFrom<Step[0]>(
      ...names,
      'advance',
      'advance',
      'fails',
      'lost',
      'partly',
      'minutes',
      'hours',
      'return',
      'resume',
      'retry',
    );
    const policy = policyOf(2, [{ soakMs: 0, deadlineMs: undefined, errors: { percent: 0, minStarted: 1 } }]);
    fc.assert(
      fc.property(fc.array(fc.tuple(around, fc.nat({ max: 7 })), { minLength: 5, maxLength: 40, size: 'max' }), (moves) => {
        // The server looks after everything.
        play(
          policy,
          [['good', 0] as const, ...moves].flatMap((move) => [move, ['tick', 0] as const]),
        );
      }),
      { numRuns: runs(150) },
    );
  });

  test('come through every state, or the stories would show little', () => {
    const reached = new Set<string>();
    // The same stories each time: COMPLETE is rare in any of them.
    for (const [policy, steps] of fc.sample(anyStory, { numRuns: 300, seed: 4 })) play(policy, steps, reached);
    for (const state of ['WAITING_APPROVAL', 'READY', 'ROLLING', 'SOAKING', 'COMPLETE', 'PAUSED', 'ABORTED']) expect([...reached]).toContain(state);
  });

  test('a good revision reaches everyone who can be reached, wherever the one before it was (O13)', () => {
    fc.assert(
      fc.property(anyStory, ([policy, steps]) => {
        const world = play(policy, steps);
        const from = JSON.stringify({ course: world.course, now: world.now });
        // A place that was taken before the clock was set back is free again when that time has come.
        world.pass(Math.max(0, ...world.hosts.map(({ went }) => (went?.until ?? 0) - world.now)));
        // Nothing but a person's freeze, pin, override or clock may stand in its way: those end. Everything else stays as it was left.
        world.freeze = undefined;
        world.stops = [];
        for (const host of world.hosts) {
          host.pin = host.hold = undefined;
          host.isOverridden = false;
          // Who left the flake is back, under its name.
          host.called ??= host.name;
        }
        for (const open of world.isOpen) for (const { timeZone } of world.hosts) open.add(timeZone);
        world.publish({
          isSlow: ({ name }) => Number(name.slice(1)) % 2 === steps.length % 2,
          isUnknown: ({ name }) => Number(name.slice(1)) % 3 === steps.length % 3,
        });
        const isRenamed = (): boolean => world.hosts.every((host) => !host.isEnrolled || awaitedName(host) === undefined);
        // Twice, as whoever is renamed when it completes is asked then.
        for (let [round, complete] = [0, 0]; round < 150 && complete < 2; round += 1) {
          if (round % 3 === 1) world.evaluate(false);
          if (round % 3 === 2) world.build(false);
          removeStones(world);
          for (const host of world.hosts) {
            world.rename(host);
            world.connect(host);
            world.advance(host, 'as-is');
          }
          world.pass(MINUTE);
          world.ask('good');
          world.tick();
          if (world.course?.state === 'WAITING_APPROVAL') world.approve('ada');
          if (world.course?.pause?.cause === 'after-ring') world.resume();
          complete = world.course?.state === 'COMPLETE' && isRenamed() ? complete + 1 : 0;
        }
        expect(world.course, from).toMatchObject({ state: 'COMPLETE' });
        const { newest } = world;
        for (const host of world.hosts.filter(({ isEnrolled }) => isEnrolled)) {
          for (let round = 0; round < 9 && host.is.runs !== newest?.toplevels.get(host.name); round += 1) {
            removeStones(world);
            for (const each of world.hosts) world.advance(each, 'as-is');
            world.tick();
          }
          expect(host.is.runs, from).toBe(newest?.toplevels.get(host.name));
        }
      }),
      { numRuns: runs(150) },
    );
  });

  test('a good revision of which some hosts never hear completes exactly when somebody of each group has verified it (O4)', () => {
    const gates = { minVerified: 0, successPercent: 0, soakMs: 0, deadlineMs: undefined };
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }), (rings, isThere) => {
        const world = play(policyOf(rings, [gates, gates, gates]), []);
        for (const [index, host] of world.hosts.entries()) if (isThere[index] === false) world.disconnect(host);
        world.pass(10 * MINUTE);
        world.publish();
        for (let round = 0; round < 30; round += 1) {
          world.tick();
          for (const host of world.hosts) if (host.isConnected) world.advance(host, 'as-is');
        }
        const isUntried = untriedOf(world.facts()).length > 0 || !isThere.includes(true);
        const eligible = world.facts().hosts.filter(({ isEligible }) => isEligible);
        // When it completes, stable advances, and nobody is eligible any more.
        expect(world.course?.state === 'COMPLETE', JSON.stringify(world.course)).toBe(eligible.length === 0 || !isUntried);
        if (isUntried) expect(world.course?.state).toBe('ROLLING');
      }),
    );
  });

  test('what was complete is not paused because hosts that come back are away again; a failure of them is (O28)', () => {
    const gates = { soakMs: MINUTE, deadlineMs: 60 * MINUTE };
    const anyMove = fc.tuple(fc.constantFrom('leave', 'return', 'advance', 'later', 'unpin', 'hours', 'tick'), fc.nat({ max: 5 }));
    const anyFleet = fc.record({
      rings: fc.integer({ min: 2, max: 3 }),
      kept: fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 4 }),
      moves: fc.array(anyMove, { maxLength: 60 }),
      isLost: fc.boolean(),
    });
    fc.assert(
      fc.property(anyFleet, ({ rings, kept, moves, isLost }) => {
        const world = play(policyOf(rings, [gates, gates, gates]), []);
        const settle = (rounds: number): void => {
          for (let round = 0; round < rounds; round += 1) {
            for (const host of world.hosts) if (host.isConnected) world.advance(host, 'as-is');
            world.pass(2 * MINUTE);
            world.tick();
          }
        };
        const late = world.hosts.filter((_, index) => kept.includes(index));
        world.publish();
        for (const host of late) host.hold = { ...host.stable, id: 'own', host: host.name, sequence: 0, toplevel: pathOf('own') };
        settle(40);
        // Somebody verified it: not one that completed because nobody was there to ask.
        const state = (): string | undefined => world.course?.state;
        fc.pre(state() === 'COMPLETE' && world.course?.provedRing !== undefined);
        for (const [what, who] of moves) {
          const host = late[who % late.length];
          if (host === undefined) continue;
          const began = { activating: new Set(world.hosts.filter(({ is }) => is.state === 'ACTIVATING')), lost: lostIn(world), stones: new Map() };
          if (what === 'unpin') host.hold = undefined;
          else if (what === 'hours') world.pass(61 * MINUTE);
          else if (what !== 'leave' || host.is.state !== 'ACTIVATING') take(world, [what, world.hosts.indexOf(host)]);
          world.tick();
          // Whoever is connected and does nothing for an hour is missed.
          const isMissed = world.facts().hosts.some(({ isEligible, progress }) => isEligible && (progress === 'to-come' || progress === 'in-flight'));
          if (state() === 'PAUSED' && isMissed) return;
          const failed = world.facts().hosts.some(({ isEligible, progress }) => isEligible && progress === 'failed');
          if (!failed) expect(state(), JSON.stringify(world.course)).not.toBe('PAUSED');
          checkFleet(world, new Map(), began);
        }
        for (const host of late) {
          if (!isActivating(host.is.state)) world.disconnect(host);
          host.hold = undefined;
        }
        const lost = late.find(({ is }) => isActivating(is.state));
        if (isLost && lost !== undefined) {
          world.disconnect(lost);
          // At once, or at the deadline, where others of the ring are to be asked, too.
          for (let round = 0; round < 2; round += 1) {
            world.pass(61 * MINUTE);
            world.tick();
          }
          expect(world.course?.state).toBe('PAUSED');
          return;
        }
        settle(10);
        for (const host of late) world.disconnect(host);
        settle(10);
        const isFailed = world.facts().hosts.some(({ isEligible, progress }) => isEligible && progress === 'failed');
        if (!isFailed) expect(state(), JSON.stringify(world.course)).toBe('COMPLETE');
        // Those that are away are asked when they are back.
        for (const host of late) world.connect(host);
        settle(60);
        if (!isFailed)
          for (const host of late) {
            expect(host.is.runs, JSON.stringify([world.course, host.is])).toBe(world.newest?.toplevels.get(host.name));
          }
      }),
      { numRuns: runs(200) },
    );
  });

  test('a bad commit among unfinished ones is tried in the first ring that it changes, and nowhere else (O12, O29)', () => {
    const gates = { minVerified: 1, soakMs: 0, deadlineMs: undefined, errors: { percent: 0, minStarted: 1 } };
    const anyHosts = fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 6 });
    const anyDays = fc.array(
      fc.record({
        changes: anyHosts,
        // Names leave the flake, come back, or become others, and machines are renamed at any moment of the day.
        called: fc.array(fc.tuple(fc.nat({ max: 5 }), fc.constantFrom('next', 'own', 'none')), { maxLength: 3 }),
        there: fc.array(fc.record({ present: anyHosts, renamed: fc.option(fc.nat({ max: 5 })), held: fc.option(fc.nat({ max: 5 })) }), {
          minLength: 1,
          maxLength: 8,
        }),
      }),
      { minLength: 2, maxLength: 4 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 3 }), anyDays, fc.nat({ max: 3 }), (rings, days, which) => {
        const world = play(policyOf(rings, [gates, gates, gates]), [['enrol', 0]]);
        const badDay = which % days.length;
        const begun = new Set<WorldHost>();
        /** Who was kept elsewhere, or waited for its rename, while its ring passed: it begins with the rings reached. */
        const late = new Set<WorldHost>();
        for (const [day, { changes, called, there }] of days.entries()) {
          const changed = new Set(world.hosts.filter((_, index) => day === 0 || changes.includes(index)));
          for (const [who, to] of day === 0 ? [] : called) {
            const each = world.hosts[who];
            if (each === undefined) continue;
            if (to === 'next') world.callOtherwise(each);
            else each.called = to === 'own' ? each.name : undefined;
          }
          world.publish({ changes: (host) => changed.has(host), isBad: () => day === badDay });
          for (const { present, renamed, held } of there) {
            for (const each of renamed === null ? [] : world.hosts.slice(renamed, renamed + 1)) world.rename(each);
            // One at a time is kept on what it was told; not who failed, as that ends its part in the rollout.
            for (const [index, each] of world.hosts.entries()) each.hold = index === held && !begun.has(each) ? each.directed : undefined;
            for (const each of world.hosts) if (each.hold !== undefined || each.called !== each.name) late.add(each);
            const known = new Set(begun);
            for (const [index, host] of world.hosts.entries())
              if (present.includes(index)) world.connect(host);
              else if (host.is.state !== 'ACTIVATING') world.disconnect(host);
            world.pass(2 * MINUTE);
            world.tick();
            for (const host of world.hosts) if (host.isConnected) world.advance(host, 'as-is');
            for (const host of world.hosts.filter(({ is }) => is.state === 'ACTIVATING')) {
              const isBad = host.is.subject?.endsWith(`-${badDay + 1}`) === true;
              const isLate = (each: WorldHost): boolean => late.has(each) || late.has(host);
              const before = [...begun].filter((each) => each.ring < host.ring && (known.has(each) || !isLate(each)));
              // What is stable was proved, if not by whoever was late.
              const isAsked = isBad && (late.size === 0 || host.stable?.toplevel !== host.is.subject);
              expect(isAsked ? before.map(({ name }) => name) : [], `${host.name} of ring ${host.ring} begins with it`).toEqual([]);
              if (isBad) begun.add(host);
            }
            for (const host of world.hosts) if (host.is.state === 'ACTIVATING') world.advance(host, 'as-is');
          }
        }
      }),
      { numRuns: runs(300) },
    );
  });

  test('a host that was away runs each stepping stone, in order, before anything newer (D9)', () => {
    const gates = { minVerified: 0, successPercent: 0, soakMs: 0, deadlineMs: undefined };
    const commits = fc.array(fc.boolean(), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(commits, fc.constantFrom(1, 2, 3), fc.boolean(), (stones, who, isBackEarly) => {
        const world = play(policyOf(1, [gates]), []);
        const host = world.hosts[who];
        if (host === undefined) return;
        const ran: string[] = [];
        const step = (): void => {
          const ahead = new Map(world.hosts.map((each) => [each, world.stoneOf(each)]));
          const began = { activating: new Set<WorldHost>(), lost: lostIn(world), stones: ahead };
          world.tick();
          checkFleet(world, new Map(), began);
          for (const each of world.hosts) if (each.isConnected) world.advance(each, 'as-is');
          checkFleet(world, new Map(), began);
          if (ran.at(-1) !== host.is.runs) ran.push(host.is.runs);
        };
        world.disconnect(host);
        world.pass(10 * MINUTE);
        for (const [index, isStone] of stones.entries()) {
          world.publish({ isStone });
          // Back in the middle of a rollout: what was a stone by then still comes first.
          if (isBackEarly && index === stones.length - 1) world.connect(host);
          for (let round = 0; round < 12 && world.course?.state !== 'COMPLETE'; round += 1) step();
          expect(world.course?.state).toBe('COMPLETE');
        }
        world.connect(host);
        for (let round = 0; round < 30; round += 1) step();
        const needed = world.revisions.filter(({ isStone, sequence }) => isStone || sequence === world.revisions.length);
        expect(ran.slice(1)).toEqual(needed.map(({ toplevels }) => toplevels.get(host.name)));
      }),
    );
  });
});
