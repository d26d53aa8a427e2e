import type { RolloutState } from '../rollout-state.ts';
import type { RolloutCourse } from './course.ts';

export const ROLLOUT_EVENTS = [
  /** Nothing is finished first any more: hosts follow it from now on. */
  'begun',
  /** No host of the ring changes, or none of those that it asks after it was complete is there any more: the next one is asked at once. */
  'skipped',
  /** The ring has the approvals that it needs, or needs none. */
  'approved',
  /** The ring's hosts may begin: a window is open. */
  'opened',
  /** The ring's gate holds. */
  'passed',
  /** The soak of a ring is over, and another ring follows. */
  'soaked',
  /** The soak of the last ring is over, or no host of it changes. */
  'finished',
  /** Too many hosts failed, or the ring's deadline has passed. */
  'failed',
  /** A person paused all rollouts, or the policy wants a person after this ring. */
  'paused',
  /** The reason of the pause is gone, or a person resumed it. */
  'resumed',
  'aborted',
  /** A newer revision was published. */
  'superseded',
  /** Hosts are asked that were not there when the gate passed: one was built late, or the ring was empty then. */
  'grown',
  /** It was complete before, and none of the hosts that it asks since goes on: they are away, or wait. */
  'left',
  /** What was approved is not what the ring would get any more: another host was built, or evaluated to another system. */
  'changed',
] as const;
export type RolloutEvent = (typeof ROLLOUT_EVENTS)[number];

type Row = Readonly<Record<RolloutEvent, RolloutState | null>>;
/** `null`: the state ignores the event. Every cell is written out: a missing one does not compile. */
const TABLE: Readonly<Record<RolloutState, Row>> = {
  // Published, while an older rollout is finished first. Hosts do not follow it.
  NEXT: {
    begun: 'WAITING_APPROVAL',
    skipped: null,
    approved: null,
    opened: null,
    passed: null,
    soaked: null,
    finished: null,
    failed: null,
    paused: null,
    resumed: null,
    aborted: null,
    superseded: 'SUPERSEDED',
    grown: null,
    left: null,
    changed: null,
  },
  WAITING_APPROVAL: {
    begun: null,
    skipped: 'WAITING_APPROVAL',
    approved: 'READY',
    opened: null,
    passed: null,
    soaked: null,
    finished: 'COMPLETE',
    failed: 'PAUSED',
    paused: 'PAUSED',
    resumed: null,
    aborted: 'ABORTED',
    superseded: 'SUPERSEDED',
    grown: null,
    left: null,
    changed: null,
  },
  READY: {
    begun: null,
    skipped: null,
    approved: null,
    opened: 'ROLLING',
    passed: null,
    soaked: null,
    finished: null,
    failed: 'PAUSED',
    paused: 'PAUSED',
    resumed: null,
    aborted: 'ABORTED',
    superseded: 'SUPERSEDED',
    grown: null,
    left: null,
    changed: 'WAITING_APPROVAL',
  },
  ROLLING: {
    begun: null,
    skipped: 'WAITING_APPROVAL',
    approved: null,
    opened: null,
    passed: 'SOAKING',
    soaked: null,
    finished: null,
    failed: 'PAUSED',
    paused: 'PAUSED',
    resumed: null,
    aborted: 'ABORTED',
    superseded: 'SUPERSEDED',
    grown: null,
    left: 'COMPLETE',
    changed: 'WAITING_APPROVAL',
  },
  SOAKING: {
    begun: null,
    skipped: null,
    approved: null,
    opened: null,
    passed: null,
    soaked: 'WAITING_APPROVAL',
    finished: 'COMPLETE',
    failed: 'PAUSED',
    paused: 'PAUSED',
    resumed: null,
    aborted: 'ABORTED',
    superseded: 'SUPERSEDED',
    grown: 'ROLLING',
    left: null,
    changed: 'WAITING_APPROVAL',
  },
  // What is complete stays it when a newer one comes, and whatever happens to its hosts later. Hosts that are built late pass all that
  // the others had to.
  COMPLETE: {
    begun: null,
    skipped: null,
    approved: null,
    opened: null,
    passed: null,
    soaked: null,
    finished: null,
    failed: null,
    paused: null,
    resumed: null,
    aborted: null,
    superseded: null,
    grown: 'WAITING_APPROVAL',
    left: null,
    changed: null,
  },
  // It enters its ring again, with the approvals that it has.
  PAUSED: {
    begun: null,
    skipped: null,
    approved: null,
    opened: null,
    passed: null,
    soaked: null,
    finished: null,
    failed: null,
    paused: null,
    resumed: 'WAITING_APPROVAL',
    aborted: 'ABORTED',
    superseded: 'SUPERSEDED',
    grown: null,
    left: null,
    changed: null,
  },
  ABORTED: {
    begun: null,
    skipped: null,
    approved: null,
    opened: null,
    passed: null,
    soaked: null,
    finished: null,
    failed: null,
    paused: null,
    resumed: null,
    aborted: null,
    superseded: null,
    grown: null,
    left: null,
    changed: null,
  },
  SUPERSEDED: {
    begun: null,
    skipped: null,
    approved: null,
    opened: null,
    passed: null,
    soaked: null,
    finished: null,
    failed: null,
    paused: null,
    resumed: null,
    aborted: null,
    superseded: null,
    grown: null,
    left: null,
    changed: null,
  },
};

/** The state after `event`; null: the state ignores it. */
export function nextRolloutState(state: RolloutState, event: RolloutEvent): RolloutState | null {
  return TABLE[state][event];
}

const ENDS: ReadonlySet<RolloutState> = new Set(['COMPLETE', 'ABORTED', 'SUPERSEDED']);

/** True when nothing more comes of it, except that a host that is built late reopens a complete one. */
export function isEndedRollout(state: RolloutState): boolean {
  return ENDS.has(state);
}

/** Hosts of the rings that it has reached are told to run it. In the other states nobody else is told, and nobody goes back. */
const PROMOTES: Readonly<Record<RolloutState, boolean>> = {
  NEXT: false,
  WAITING_APPROVAL: true,
  READY: true,
  ROLLING: true,
  SOAKING: true,
  COMPLETE: true,
  PAUSED: false,
  ABORTED: false,
  SUPERSEDED: false,
};

/**
 * The number of rings whose hosts are told to run the rollout's releases. The ring at which it waits for an approval or a window is
 * not one of them. Nor are those before it while none of them is proved: they were skipped because none of their hosts changed, and a
 * host that does change now (its pin ended) must not be the first to try it, without approval and window.
 */
export function promotedRings({ state, ring, provedRing }: Pick<RolloutCourse, 'state' | 'ring' | 'provedRing'>): number {
  if (!PROMOTES[state]) return 0;
  if (state !== 'WAITING_APPROVAL' && state !== 'READY') return ring + 1;
  return provedRing === undefined ? 0 : ring;
}

/** Hosts of the ring are told to run the rollout's releases: not those of a ring that was passed over without its approvals. */
export function isRingPromoted(course: Pick<RolloutCourse, 'state' | 'ring' | 'provedRing' | 'unapproved'>, ring: number): boolean {
  return ring < promotedRings(course) && course.unapproved?.includes(ring) !== true;
}
