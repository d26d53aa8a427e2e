import { approvalsToCome, isApproved, isEvaluating, isNotWhatWasApproved, missingApprovals, type MissingApprovals } from './approvals.ts';
import { carriedFailures } from './carried.ts';
import { isFirstChanging, isFrozen, pausedFailures, type PausedFailures, type RolloutCourse, type RolloutPause } from './course.ts';
import type { ComingHost, RolloutFacts } from './facts.ts';
import {
  countRing,
  isBroken,
  isPassed,
  isUnacknowledged,
  nameFailures,
  neededVerified,
  pauseForFailures,
  type Gates,
  type RingCounts,
} from './gate.ts';
import { boundGroups, twinsThatFailed, untriedChanges, untriedGroups, type UntriedGroup } from './groups.ts';
import { isPassedNow } from './hotfix-now.ts';
import type { RingPolicy, RolloutPolicy } from './policy.ts';
import { hasGoodAnswers, probesOf, stoppingAnswers } from './probes.ts';
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

/** The gates of the ring at `of`: those of the first ring, up to the first ring that was proved; then its own. */
export function gatesOf(policy: RolloutPolicy, course: Pick<RolloutCourse, 'ring' | 'provedRing'>, of = course.ring): RingPolicy {
  return { ...ringAt(policy, isFirstChanging(course, of) ? 0 : of), probes: probesOf(policy, course, of) };
}

function ringAt({ rings }: RolloutPolicy, index: number): RingPolicy {
  const ring = rings[index] ?? rings.at(-1);
  if (ring === undefined) throw new RangeError('a policy has at least one ring');
  return ring;
}

function isLastRing({ ring }: RolloutCourse, { policy }: RolloutFacts): boolean {
  return ring + 1 >= policy.rings.length;
}

/**
 * Where a rollout goes from here. Pure, and level-triggered: the same course, facts and time give the same answer on any server, and
 * deciding again changes nothing. Supersession is not its to decide: the publication of the newer revision is. When it completes,
 * stable advances with it, for the hosts that were asked.
 */
export function decideRollout(course: RolloutCourse, facts: RolloutFacts, now: number): RolloutDecision {
  const steps: RolloutStep[] = [];
  let current = withoutFuture(course, now);
  // Each ring takes four steps, and may be paused and resumed once on the way.
  for (let left = (facts.policy.rings.length + 1) * 6; left > 0; left -= 1) {
    const next = takeStep(current, facts, now);
    if (next === undefined) break;
    steps.push(next);
    current = next.to;
    // The hosts in `facts` are still those from before stable advanced.
    if (current.state === 'COMPLETE') break;
  }
  return { course: current, steps };
}

/** Times from a clock that was ahead count from now: a soak would last until that clock's date. The time of a pause is its name. */
function withoutFuture(course: RolloutCourse, now: number): RolloutCourse {
  const { state, since, ringSince } = course;
  const isAhead = state !== 'PAUSED' && !isEndedRollout(state) && (since > now || ringSince > now);
  return isAhead ? { ...course, since: Math.min(since, now), ringSince: Math.min(ringSince, now) } : course;
}

function takeStep(course: RolloutCourse, facts: RolloutFacts, now: number): RolloutStep | undefined {
  const due = nextEvent(course, course.state === 'COMPLETE' ? facts : askedOf(course, facts), now);
  if (due === undefined) return undefined;
  const state = nextRolloutState(course.state, due.event);
  if (state === null) return undefined;
  // A pause is named by its time: the order that ended the previous one must not end this one, too, however the clock was set.
  const since = state === 'PAUSED' && facts.orders.resume?.of === now ? now + 1 : now;
  const unapproved = unapprovedAfter(due.event, course, facts);
  return { event: due.event, from: course, to: { ...course, pause: undefined, ...due.also, ...(unapproved && { unapproved }), state, since } };
}

/** Hosts of a ring that was passed over without its approvals are asked when the rollout is complete: meanwhile nobody waits for them. */
function askedOf(course: RolloutCourse, facts: RolloutFacts): RolloutFacts {
  const { unapproved = [], ring } = course;
  if (unapproved.length === 0) return facts;
  const isPassedOver = (host: RingHost): boolean => host.ring !== ring && unapproved.includes(host.ring);
  return { ...facts, hosts: facts.hosts.map((host) => (host.isEligible && isPassedOver(host) ? { ...host, isEligible: false } : host)) };
}

/** Undefined: as before. */
function unapprovedAfter(event: RolloutEvent, { state, ring, unapproved = [] }: RolloutCourse, facts: RolloutFacts): readonly number[] | undefined {
  const isPassedOver = event === 'skipped' || (event === 'finished' && state === 'WAITING_APPROVAL');
  if (isPassedOver && !unapproved.includes(ring) && !isApproved(ring, facts)) return [...unapproved, ring].toSorted((one, other) => one - other);
  return event === 'approved' && unapproved.includes(ring) ? unapproved.filter((each) => each !== ring) : undefined;
}

/** An event that is due, with what it changes besides the state. */
interface Due {
  readonly event: RolloutEvent;
  readonly also?: Partial<Omit<RolloutCourse, 'state' | 'since'>> | undefined;
}

function nextEvent(course: RolloutCourse, facts: RolloutFacts, now: number): Due | undefined {
  const { orders } = facts;
  if (course.state === 'COMPLETE') {
    const late = facts.hosts.filter((host) => isLate(host, course, facts)).map(({ ring }) => ring);
    const isReopened = course.provedRing !== undefined ? true : undefined;
    return late.length > 0 ? { event: 'grown', also: { ring: Math.min(...late), ringSince: now, isReopened } } : undefined;
  }
  if (isEndedRollout(course.state) || course.state === 'NEXT') return undefined;
  if (orders.abort !== undefined) return { event: 'aborted' };
  const freeze = isFrozen(orders, now) ? orders.freeze : undefined;
  if (course.state === 'PAUSED') {
    // What else it was paused for comes to light again when the freeze is over.
    return freeze === undefined && isPauseOver(course, facts) ? { event: 'resumed', also: afterPause(course, facts, now) } : undefined;
  }
  if (freeze !== undefined) return { event: 'paused', also: { pause: { cause: 'freeze', by: freeze.by, reason: freeze.reason } } };
  const broken = brokenRings(course, facts);
  if (broken.length > 0) return { event: 'failed', also: { pause: pauseForFailures(broken) } };
  const stopping = stoppingAnswers(course, facts);
  if (stopping.length > 0) return { event: 'failed', also: { pause: { cause: 'probe', answers: stopping } } };
  if (isNotWhatWasApproved(course, facts)) return { event: 'changed', also: { ringSince: now } };
  return progressOfRing(course, facts, now);
}

/**
 * It was not asked with the others: it was built late, or a pin, a hold or its user kept it. One that is away is asked when it is back, one
 * that waits when it goes on, and one whose failure a person acknowledged when it is tried again.
 */
function isLate({ isEligible, progress, isAcknowledged, ring }: RingHost, { provedRing }: RolloutCourse, facts: RolloutFacts): boolean {
  if (!isEligible || progress === 'verified' || (progress === 'failed' && isAcknowledged)) return false;
  return (progress !== 'away' && progress !== 'waiting') || missingApprovals({ ring, provedRing }, facts) !== undefined;
}

function isPauseOver({ pause, since }: RolloutCourse, { orders, hosts }: RolloutFacts): boolean {
  if (pause === undefined || pause.cause === 'freeze') return true;
  if (orders.resume?.of === since) return true;
  if (pause.cause !== 'failures' || pause.count > pause.failures.length) return false;
  // Whoever failed was tried again, and runs it; with an earlier commit: somebody else runs that, or nobody is to get it any more.
  const verified = new Set(hosts.filter(({ progress }) => progress === 'verified').map(({ host }) => host));
  const carried = new Set(carriedFailures(hosts).filter(isUnacknowledged).map(keyOf));
  const earlier = new Set(hosts.flatMap(({ host, failedBefore = [] }) => failedBefore.map(({ toplevel }) => keyOf({ host, toplevel }))));
  return pause.failures.every((failure) => (earlier.has(keyOf(failure)) ? !carried.has(keyOf(failure)) : verified.has(failure.host)));
}

/** It enters its ring again; the next one, where the policy wanted a person to look after this one. */
function afterPause(course: RolloutCourse, facts: RolloutFacts, now: number): Due['also'] {
  const isNext = course.pause?.cause === 'after-ring' && !isLastRing(course, facts);
  return { ring: isNext ? course.ring + 1 : course.ring, ringSince: now };
}

/** The hosts of the rings reached whose failures are too many for their ring, and those of other rings that failed with the same system. */
function brokenRings(course: RolloutCourse, { policy, hosts: now }: RolloutFacts): readonly RingHost[] {
  const hosts = [...now, ...carriedFailures(now)];
  const reached = hosts.filter(({ ring }) => ring <= course.ring);
  const failedLater = hosts.filter((host) => host.ring > course.ring && isUnacknowledged(host));
  return [...Map.groupBy(reached, ({ ring }) => ring)].flatMap(([ring, some]) => {
    const all = failedLater.length === 0 ? some : [...some, ...twinsThatFailed(some, failedLater)];
    return isBroken(gatesOf(policy, course, ring), countRing(all)) ? all : [];
  });
}

function progressOfRing(course: RolloutCourse, facts: RolloutFacts, now: number): Due | undefined {
  const { policy, windows, orders } = facts;
  const counts = countRing(facts.hosts.filter((host) => host.ring === course.ring));
  const isLast = isLastRing(course, facts);
  const nextRing = { ring: course.ring + 1, ringSince: now };
  switch (course.state) {
    case 'WAITING_APPROVAL':
      if (counts.eligible === 0 && isAwaited(course, facts)) return undefined;
      if (counts.eligible === 0 && !isLast) return { event: 'skipped', also: nextRing };
      return afterApprovals(counts.eligible === 0 && !isUntried(course, facts) ? 'finished' : 'approved', approvalsToCome(course, facts));
    case 'READY':
      return orders.hotfix !== undefined || windows[course.ring]?.isOpen !== false ? { event: 'opened', also: { ringSince: now } } : undefined;
    case 'ROLLING':
      return gateEvent(course, facts, counts, now);
    case 'SOAKING':
      if (isUnasked(course, facts, counts)) return { event: 'grown', also: { ringSince: now } };
      if (isAwaited(course, facts)) return undefined;
      if (now < soakEnd(course, facts) || !hasGoodAnswers(course, facts, soakEnd(course, facts), now)) return undefined;
      if (isLast) return { event: 'finished' };
      if (ringAt(policy, course.ring).pauseAfter) return { event: 'paused', also: { pause: { cause: 'after-ring' } } };
      return { event: 'soaked', also: nextRing };
    case 'NEXT':
    case 'COMPLETE':
    case 'PAUSED':
    case 'ABORTED':
    case 'SUPERSEDED':
      return undefined;
  }
}

/** When the soak of the ring is over: at once in a hotfix. Its probes are asked once more then. */
export function soakEnd(course: RolloutCourse, { policy, orders }: Pick<RolloutFacts, 'policy' | 'orders'>): number {
  return course.since + (orders.hotfix === undefined ? gatesOf(policy, course).soakMs : 0);
}

/** A rollout without a host to ask needs no approval, but what it loosens does: the next commit is compared with it. */
function afterApprovals(event: 'finished' | 'approved', missing: MissingApprovals | undefined): Due | undefined {
  const isHeld = event === 'finished' ? (missing?.weaker.length ?? 0) > 0 : missing !== undefined;
  return isHeld ? undefined : { event };
}

/**
 * Somebody should have verified it, and nobody has, of all hosts or of those with the same change: each ring alone may pass so, when its
 * failures were acknowledged, or with hosts of another platform.
 */
function isUntried({ provedRing }: RolloutCourse, { hosts }: RolloutFacts): boolean {
  const eligible = hosts.filter(({ isEligible }) => isEligible);
  if (provedRing === undefined && eligible.length > 0 && !eligible.some(({ progress }) => progress === 'verified')) return true;
  return untriedGroups(hosts).length > 0;
}

/** The groups of which somebody has to run it before the ring is left: each commit that later rings get, too; in the last one those of O4. */
export function untriedIn(course: RolloutCourse, { policy, hosts }: Pick<RolloutFacts, 'policy' | 'hosts'>): readonly UntriedGroup[] {
  const { ring } = course;
  return ring + 1 >= policy.rings.length ? untriedGroups(hosts) : untriedChanges(hosts, ring, gatesOf(policy, course).minVerified);
}

/** The gate passed because nobody was there to be asked, and now somebody is. */
function isUnasked(course: RolloutCourse, facts: RolloutFacts, counts: RingCounts): boolean {
  if (isLastRing(course, facts) && isUntried(course, facts)) return true;
  if (isPassedNow(course, facts)) return false;
  if (untriedIn(course, facts).length > 0) return true;
  return course.provedRing === undefined && counts.verified < neededVerified(gatesOf(facts.policy, course), counts);
}

/** The ring is not asked yet: hosts of it, or of one before it, are still built, or evaluated. */
export function isAwaited(course: RolloutCourse, facts: RolloutFacts): boolean {
  return isEvaluating(facts) || awaitedHosts(course, facts).length > 0;
}

/** The hosts that are still built, and that its ring waits for. The last one waits for those that are away, too. */
export function awaitedHosts(course: RolloutCourse, facts: RolloutFacts): readonly ComingHost[] {
  const isLast = isLastRing(course, facts);
  return (facts.coming ?? []).filter(({ ring, isPresent }) => isLast || (isPresent && ring <= course.ring));
}

function gateEvent(course: RolloutCourse, facts: RolloutFacts, counts: RingCounts, now: number): Due | undefined {
  const gates = gatesOf(facts.policy, course);
  const openMs = Math.min(facts.windows[course.ring]?.openMs ?? 0, now - course.ringSince);
  const isOverdue = gates.deadlineMs !== undefined && openMs >= gates.deadlineMs;
  const untried = untriedIn(course, facts);
  const isHeld = isLastRing(course, facts) ? isUntried(course, facts) : untried.length > 0;
  // Nobody is late who could not begin.
  if (isAwaited(course, facts) && !isPassedNow(course, facts)) return undefined;
  if (!isHeld && isPassed(gates, counts, isOverdue)) {
    return { event: 'passed', also: { provedRing: course.provedRing ?? (counts.verified > 0 ? course.ring : undefined) } };
  }
  if (isPassedNow(course, facts)) return { event: 'passed' };
  if (course.isReopened === true && isQuiet(course, facts)) return leave(course, facts, now);
  return isOverdue ? { event: 'failed', also: { pause: pauseForDeadline(gates, counts, untried, failuresOf(course, facts)) } } : undefined;
}

/** Nobody of the rings reached is on the way, or failed unseen: who is left is away, or waits for a user, and that is nobody's fault. */
function isQuiet({ ring }: RolloutCourse, { hosts }: RolloutFacts): boolean {
  const { failed, inFlight, toCome } = countRing(hosts.filter((host) => host.ring <= ring));
  return failed + inFlight + toCome === 0;
}

/** What was proved before stays complete when the hosts that it asks since are away again, or wait. They are asked when they go on. */
function leave(course: RolloutCourse, facts: RolloutFacts, now: number): Due {
  const isAnotherLate = facts.hosts.some((host) => host.ring > course.ring && isLate(host, course, facts));
  if (isAnotherLate) return { event: 'skipped', also: { ring: course.ring + 1, ringSince: now } };
  return { event: 'left', also: { ring: facts.policy.rings.length - 1 } };
}

function pauseForDeadline(gates: Gates, counts: RingCounts, untried: readonly UntriedGroup[], failed: readonly RingHost[]): RolloutPause {
  const { eligible, verified, inFlight, toCome } = counts;
  const missing = Math.max(0, neededVerified(gates, counts) - verified);
  return {
    cause: 'deadline',
    missing,
    present: inFlight + toCome,
    eligible,
    untried: missing === 0 ? boundGroups(untried) : [],
    ...(failed.length === 0 ? {} : { failed: nameFailures(failed) }),
  };
}

/** The failures that a pause is about: what a person who resumes it has seen. */
export function failuresOf(course: RolloutCourse, facts: Pick<RolloutFacts, 'hosts'>): readonly RingHost[] {
  const hosts = [...facts.hosts, ...carriedFailures(facts.hosts)];
  const reached = hosts.filter(({ ring }) => ring <= course.ring);
  const failed = hosts.filter(isUnacknowledged);
  return [...new Set([...failed.filter(({ ring }) => ring <= course.ring), ...twinsThatFailed(reached, failed)])];
}

const NONE: PausedFailures = { failures: [], count: 0 };

/** The failures that a pause does not name, because they came after it. Of a pause that names only some of its own, nobody can tell. */
export function failuresSince(course: RolloutCourse, facts: Pick<RolloutFacts, 'hosts'>): readonly RingHost[] {
  const { pause } = course;
  const { failures, count } = pausedFailures(pause) ?? NONE;
  if ((pause?.cause !== 'failures' && pause?.cause !== 'deadline') || count > failures.length) return [];
  const named = new Set(failures.map(keyOf));
  return failuresOf(course, facts).filter((failure) => !named.has(keyOf(failure)));
}

function keyOf({ host, toplevel }: Pick<RingHost, 'host' | 'toplevel'>): string {
  return `${host} ${toplevel}`;
}
