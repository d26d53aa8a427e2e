import { mayApprove } from './approvals.ts';
import { isFrozen, type RolloutCourse, type RolloutPause } from './course.ts';
import type { RolloutFacts } from './facts.ts';
import { countRing, isBroken, isPassed, neededVerified, pauseForFailures, type Gates, type RingCounts } from './gate.ts';
import type { RingPolicy, RolloutPolicy } from './policy.ts';
import type { RingHost } from './progress.ts';
import { isEndedRollout, nextRolloutState, type RolloutEvent } from './table.ts';

/** One step of a rollout. */
export interface RolloutStep {
  readonly event: RolloutEvent;
  readonly from: RolloutCourse;
  readonly to: RolloutCourse;
}

export interface RolloutDecision {
  readonly course: RolloutCourse;
  /** What happened, in order; empty: nothing. */
  readonly steps: readonly RolloutStep[];
}

/** The gates of a ring: those of the first ring, until a ring whose hosts change has passed them. */
export function gatesOf(policy: RolloutPolicy, { ring, isProved }: RolloutCourse, of = ring): RingPolicy {
  return (isProved || of !== ring ? policy.rings[of] : policy.rings[0]) ?? lastRing(policy);
}

function lastRing({ rings }: RolloutPolicy): RingPolicy {
  const last = rings.at(-1);
  if (last === undefined) throw new RangeError('a policy has at least one ring');
  return last;
}

/**
 * Where a rollout goes from here. Pure, and level-triggered: the same course, facts and time give the same answer on any server, and
 * deciding again changes nothing. Supersession is not its to decide: the publication of the newer revision is.
 */
export function decideRollout(course: RolloutCourse, facts: RolloutFacts, now: number): RolloutDecision {
  const steps: RolloutStep[] = [];
  let current = course;
  // Each ring takes four steps, and may be paused and resumed once on the way.
  for (let left = (facts.policy.rings.length + 1) * 6; left > 0; left -= 1) {
    const next = takeStep(current, facts, now);
    if (next === undefined) break;
    steps.push(next);
    current = next.to;
  }
  return { course: current, steps };
}

function takeStep(course: RolloutCourse, facts: RolloutFacts, now: number): RolloutStep | undefined {
  const due = nextEvent(course, facts, now);
  if (due === undefined) return undefined;
  const state = nextRolloutState(course.state, due.event);
  return state === null ? undefined : { event: due.event, from: course, to: { ...course, pause: undefined, ...due.also, state, since: now } };
}

/** An event that is due, with what it changes besides the state. */
interface Due {
  readonly event: RolloutEvent;
  readonly also?: Partial<Omit<RolloutCourse, 'state' | 'since'>> | undefined;
}

function nextEvent(course: RolloutCourse, facts: RolloutFacts, now: number): Due | undefined {
  const { orders } = facts;
  if (course.state === 'COMPLETE') {
    return facts.hosts.some(({ isEligible }) => isEligible) ? { event: 'grown', also: { ringSince: now } } : undefined;
  }
  if (isEndedRollout(course.state)) return undefined;
  if (orders.abort !== undefined) return { event: 'aborted' };
  const freeze = isFrozen(orders, now) ? orders.freeze : undefined;
  if (course.state === 'PAUSED') {
    // What else it was paused for comes to light again when the freeze is over.
    return freeze === undefined && isPauseOver(course, facts) ? { event: 'resumed', also: afterPause(course, facts, now) } : undefined;
  }
  if (freeze !== undefined) return { event: 'paused', also: { pause: { cause: 'freeze', by: freeze.by, reason: freeze.reason } } };
  const broken = brokenRings(course, facts);
  if (broken.length > 0) return { event: 'failed', also: { pause: pauseForFailures(broken) } };
  return progressOfRing(course, facts, now);
}

function isPauseOver({ pause, since }: RolloutCourse, { orders, hosts }: RolloutFacts): boolean {
  if (pause === undefined || pause.cause === 'freeze') return true;
  if (orders.resume?.of === since) return true;
  if (pause.cause !== 'failures' || pause.count > pause.failures.length) return false;
  // Whoever failed was tried again, and runs it.
  const verified = new Set(hosts.filter(({ progress }) => progress === 'verified').map(({ host }) => host));
  return pause.failures.every(({ host }) => verified.has(host));
}

/** It enters its ring again; the next one, where the policy wanted a person to look after this one. */
function afterPause({ pause, ring }: RolloutCourse, { policy }: RolloutFacts, now: number): Due['also'] {
  const isNext = pause?.cause === 'after-ring' && ring + 1 < policy.rings.length;
  return { ring: isNext ? ring + 1 : ring, ringSince: now };
}

/** The hosts of the rings reached whose failures are too many for their ring. */
function brokenRings(course: RolloutCourse, { policy, hosts }: RolloutFacts): readonly RingHost[] {
  const reached = Map.groupBy(
    hosts.filter(({ ring }) => ring <= course.ring),
    ({ ring }) => ring,
  );
  return [...reached].flatMap(([ring, some]) => (isBroken(gatesOf(policy, course, ring), countRing(some)) ? some : []));
}

function progressOfRing(course: RolloutCourse, facts: RolloutFacts, now: number): Due | undefined {
  const { policy, windows, orders } = facts;
  const ring = policy.rings[course.ring] ?? lastRing(policy);
  const gates = gatesOf(policy, course);
  const counts = countRing(facts.hosts.filter((host) => host.ring === course.ring));
  const isEmpty = counts.eligible === 0;
  const window = windows[course.ring];
  switch (course.state) {
    case 'WAITING_APPROVAL':
      return isEmpty || mayApprove(course.ring, ring, facts) ? { event: 'approved' } : undefined;
    case 'READY':
      return isEmpty || orders.hotfix !== undefined || window?.isOpen !== false ? { event: 'opened', also: { ringSince: now } } : undefined;
    case 'ROLLING':
      return gateEvent(course, gates, counts, window?.openMs ?? 0);
    case 'SOAKING': {
      const isSoaked = isEmpty || orders.hotfix !== undefined || now - course.since >= gates.soakMs;
      if (!isSoaked) return undefined;
      if (course.ring + 1 >= policy.rings.length) return { event: 'finished' };
      if (ring.pauseAfter && !isEmpty) return { event: 'paused', also: { pause: { cause: 'after-ring' } } };
      return { event: 'soaked', also: { ring: course.ring + 1, ringSince: now } };
    }
    case 'COMPLETE':
    case 'PAUSED':
    case 'ABORTED':
    case 'SUPERSEDED':
      return undefined;
  }
}

function gateEvent(course: RolloutCourse, gates: RingPolicy, counts: RingCounts, openMs: number): Due | undefined {
  const isOverdue = gates.deadlineMs !== undefined && openMs >= gates.deadlineMs;
  if (isPassed(gates, counts, isOverdue)) return { event: 'passed', also: { isProved: course.isProved || counts.verified > 0 } };
  return isOverdue ? { event: 'failed', also: { pause: pauseForDeadline(gates, counts) } } : undefined;
}

function pauseForDeadline(gates: Gates, counts: RingCounts): RolloutPause {
  const { eligible, verified, inFlight, toCome } = counts;
  return { cause: 'deadline', missing: Math.max(0, neededVerified(gates, counts) - verified), present: inFlight + toCome, eligible };
}
