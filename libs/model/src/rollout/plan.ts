import type { HostName } from '../brands.ts';
import { approvalsOf, missingApprovals, type MissingApprovals } from './approvals.ts';
import { beginRollout, isFirstChanging, isFrozen, type RolloutCourse } from './course.ts';
import { decideRollout, gatesOf, soakEnd, type RolloutStep } from './decide.ts';
import type { RolloutFacts } from './facts.ts';
import { gatesInWords } from './gate-words.ts';
import type { RingPolicy } from './policy.ts';

/**
 * Why nobody can say when: the rollout before it is finished first; a person resumes it; the window does not open within a year; a person accepts
 * the commit; an older commit is built first.
 */
export const PLAN_HOLDS = ['train', 'person', 'window', 'accept', 'older'] as const;
export type PlanHold = (typeof PLAN_HOLDS)[number];

/** What is to come of a ring that has not passed. */
export interface RingPlan {
  readonly name: string;
  /** Those that change. */
  readonly hosts: readonly HostName[];
  /** As the policy's own description has them. */
  readonly gates: readonly string[];
  readonly missingApprovals: MissingApprovals | undefined;
  /** No host of it changes: it is passed over. */
  readonly isSkipped: boolean;
  /** When its hosts begin, or began, at the earliest. */
  readonly beginsAt: number | undefined;
  /** When it has passed at the earliest, soak included. */
  readonly passesAt: number | undefined;
  /** Why one of the times is not known. */
  readonly held: PlanHold | undefined;
}

export interface PlanClock {
  readonly now: number;
  /** When the window of a ring is open next, from `at` on; undefined: not within a year. */
  readonly opensAt: (ring: number, at: number) => number | undefined;
  /** What a rollout in NEXT waits for before it begins; undefined: only until its hosts are built. */
  readonly heldBefore?: PlanHold | undefined;
}

/** What the plan has found out about a ring. */
interface Found {
  /** The course when it was asked. */
  at?: Pick<RolloutCourse, 'ring' | 'provedRing'>;
  isSkipped?: boolean;
  beginsAt?: number | undefined;
  passesAt?: number | undefined;
  held?: PlanHold | undefined;
}

/**
 * What is to come of a rollout, if every host that changes verifies at once, and everybody approves at once: the earliest there can be. It
 * is found by {@link decideRollout} itself, under a clock that goes from event to event. What a person ends is ended, too, but after that
 * no time is known. Pure.
 */
export function planRollout(course: RolloutCourse, facts: RolloutFacts, clock: PlanClock): readonly RingPlan[] {
  if (course.state === 'ABORTED' || course.state === 'SUPERSEDED') return [];
  const found = foresee(course, facts, clock);
  return facts.policy.rings.flatMap((ring, index) => {
    const seen = found[index];
    if (seen === undefined || (seen.at === undefined && seen.isSkipped !== true)) return [];
    const { at, isSkipped = false, beginsAt, passesAt, held } = seen;
    const hosts = facts.hosts.filter((host) => host.ring === index && host.isEligible).map(({ host }) => host);
    return [
      {
        name: ring.name,
        hosts: hosts.toSorted(),
        gates: gatesInWords(at === undefined ? ring : gatesThatHold(ring, at, facts)),
        // What the policy loosens is asked for once: before the first ring that changes, or where it is now.
        missingApprovals:
          at === undefined ? undefined : missingApprovals(at, isFirstChanging(at) || index === course.ring ? facts : { ...facts, weaker: [] }),
        isSkipped,
        beginsAt,
        passesAt,
        held: isSkipped || passesAt !== undefined ? undefined : held,
      },
    ];
  });
}

/** The first ring that changes has the gates of the first ring, and its own windows and limits. */
function gatesThatHold(ring: RingPolicy, at: Pick<RolloutCourse, 'ring' | 'provedRing'>, { policy }: RolloutFacts): RingPolicy {
  const { successPercent, errors, minVerified, soakMs, deadlineMs, probes } = gatesOf(policy, at);
  const approvals = approvalsOf(policy, at);
  return { ...ring, successPercent, errors, minVerified, soakMs, deadlineMs, probes, approvals: approvals.count === 0 ? undefined : approvals };
}

function foresee(course: RolloutCourse, facts: RolloutFacts, { now, opensAt, heldBefore }: PlanClock): readonly Found[] {
  const found = facts.policy.rings.map((): Found => ({}));
  const hosts = facts.hosts.map((host) => (host.isEligible ? { ...host, progress: 'verified' as const } : host));
  const rings = facts.policy.rings.map((ring) => ({ ...ring, approvals: undefined, probes: [] }));
  const neverOpens = new Set<number>();
  let { freeze } = facts.orders;
  let resume: RolloutFacts['orders']['resume'];
  let at = now;
  let held: PlanHold | undefined = course.state === 'NEXT' ? heldBefore : undefined;
  let current = course.state === 'NEXT' ? beginRollout(now) : course;
  const isBegun = current.state === 'ROLLING' || current.state === 'SOAKING';
  const first = found[current.ring];
  if (first !== undefined && isBegun) Object.assign(first, { at: current, beginsAt: Math.min(current.ringSince, now) });
  // Each ring waits for a window, a soak and a person at most, and all of them for one freeze.
  for (let left = (rings.length + 1) * 6; left > 0; left -= 1) {
    const windows = rings.map((_, ring) => ({
      get isOpen() {
        return neverOpens.has(ring) || opensAt(ring, at) === at;
      },
      openMs: 0,
    }));
    const orders = { ...facts.orders, freeze, resume };
    const ideal = { ...facts, policy: { ...facts.policy, rings }, hosts, windows, orders, binds: undefined, weaker: [] };
    const { course: next, steps } = decideRollout(current, ideal, at);
    for (const step of steps) note(step, found, { at, held });
    current = next;
    switch (current.state) {
      case 'READY': {
        const opens = opensAt(current.ring, at);
        if (opens === undefined) {
          held ??= 'window';
          neverOpens.add(current.ring);
        }
        at = opens ?? at;
        break;
      }
      case 'SOAKING':
        at = Math.max(at, soakEnd(current, { ...facts, orders }));
        break;
      case 'PAUSED': {
        const until = isFrozen(orders, at) ? orders.freeze?.until : undefined;
        if (until === undefined || current.pause?.cause !== 'freeze') held ??= 'person';
        resume = { by: '', role: 'operator', reason: '', at, of: current.since };
        freeze = until === undefined ? undefined : freeze;
        at = until ?? at;
        break;
      }
      case 'NEXT':
      case 'WAITING_APPROVAL':
      case 'ROLLING':
      case 'COMPLETE':
      case 'ABORTED':
      case 'SUPERSEDED':
        return found;
    }
  }
  return found;
}

function note({ event, from, to }: RolloutStep, found: readonly Found[], { at, held }: { at: number; held: PlanHold | undefined }): void {
  const ring = found[from.ring];
  if (ring === undefined) return;
  const time = held === undefined ? at : undefined;
  if (event === 'approved') Object.assign(ring, { at: { ring: from.ring, provedRing: from.provedRing }, held });
  else if (event === 'opened') Object.assign(ring, { beginsAt: time, held });
  else if (event === 'skipped' || (event === 'finished' && from.state === 'WAITING_APPROVAL')) ring.isSkipped = ring.at === undefined;
  else if (from.state === 'SOAKING' && (event === 'soaked' || event === 'finished' || to.pause?.cause === 'after-ring'))
    Object.assign(ring, { passesAt: time, held });
}
