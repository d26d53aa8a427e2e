import type { HostName, StorePath } from '../brands.ts';
import type { HostSituation, LabelStop } from '../resolve.ts';
import type { Role } from '../roles.ts';
import type { RolloutState } from '../rollout-state.ts';
import type { UntriedGroup } from './groups.ts';
import type { ProbeAnswer } from './probe-answer.ts';

/** A host that tried the rollout's system and failed. It belongs to the host and the system, whichever rollout contains them. */
export interface RolloutFailure {
  readonly host: HostName;
  readonly toplevel: StorePath;
  readonly reason: string;
}

/** What a pause is about: at most {@link MAX_FAILURES} are named, and all are counted. */
export interface PausedFailures {
  readonly failures: readonly RolloutFailure[];
  readonly count: number;
}

/** Why a rollout is paused. */
export type RolloutPause =
  /** Too many hosts of the ring failed. At most {@link MAX_FAILURES} are named. */
  | ({ readonly cause: 'failures' } & PausedFailures)
  /** The ring's deadline passed before its gate did. `missing`: verified hosts that the gate still needs. */
  | {
      readonly cause: 'deadline';
      readonly missing: number;
      readonly present: number;
      readonly eligible: number;
      /** In the last ring: hosts with the same change, none of which has run it. At most {@link MAX_GROUPS}. */
      readonly untried: readonly UntriedGroup[];
      /** What had failed by then, of the rings reached; absent: nothing. */
      readonly failed?: PausedFailures | undefined;
    }
  /** Probes said that something is wrong, or did not answer for long. */
  | { readonly cause: 'probe'; readonly answers: readonly ProbeAnswer[] }
  /** The policy wants a person to look after this ring. */
  | { readonly cause: 'after-ring' }
  /** A person paused all rollouts. */
  | { readonly cause: 'freeze'; readonly by: string; readonly reason: string };

export const MAX_FAILURES = 20;

/** The failures that a pause is about, and that a person who resumes it has seen; undefined: it is about none. */
export function pausedFailures(pause: RolloutPause | undefined): PausedFailures | undefined {
  return pause?.cause === 'failures' ? pause : pause?.cause === 'deadline' ? pause.failed : undefined;
}

/** How far a rollout is: all that {@link decideRollout} keeps between two decisions. */
export interface RolloutCourse {
  readonly state: RolloutState;
  /** The index of the ring that it is at. */
  readonly ring: number;
  /** Since when it is in this state, ms. */
  readonly since: number;
  /** When it last began with its ring, ms. */
  readonly ringSince: number;
  /** Only while PAUSED. */
  readonly pause: RolloutPause | undefined;
  /**
   * The first ring in which hosts were verified when its gate passed. Rings up to it have the gates of the first ring, later ones their
   * own. Undefined: not yet.
   */
  readonly provedRing: number | undefined;
  /** Rings that were passed over without their approvals, because nobody in them was asked. None of their hosts is told until they have them. */
  readonly unapproved?: readonly number[] | undefined;
  /** It was complete, with hosts that verified it, and asks hosts since that were not asked then. */
  readonly isReopened?: boolean | undefined;
}

/** The course of a rollout that begins. */
export function beginRollout(now: number): RolloutCourse {
  return { state: 'WAITING_APPROVAL', ring: 0, since: now, ringSince: now, pause: undefined, provedRing: undefined };
}

/** No ring before the one at `of` was proved, so that it has the gates of the first ring. */
export function isFirstChanging({ ring, provedRing }: Pick<RolloutCourse, 'ring' | 'provedRing'>, of = ring): boolean {
  return of <= (provedRing ?? ring);
}

/** What people can ask of a rollout. A freeze is asked of the fleet. */
export const ROLLOUT_ORDERS = ['approve', 'resume', 'abort', 'hotfix'] as const;
export type RolloutOrderKind = (typeof ROLLOUT_ORDERS)[number];

/** Who asked for something, and why. */
export interface Order {
  readonly by: string;
  readonly role: Role;
  readonly reason: string;
  readonly at: number;
}

/** A person stopped all rollouts of the fleet. It outlives supersession. */
export interface Freeze {
  readonly by: string;
  readonly reason: string;
  readonly at: number;
  readonly until: number | undefined;
}

/** An approval of one ring. It is bound to its rollout, and so to a commit; and to the policy and the systems of all hosts as they were then. */
export interface Approval extends Order {
  readonly ring: number;
  /** Whose token it was; undefined: a person with the name of the token. Several of one person count once. */
  readonly person?: string | undefined;
  /** What was approved: {@link RolloutFacts.binds} of then; undefined: it was not recorded. */
  readonly binds?: string | undefined;
  /** What the policy loosens that it was given for: the {@link Loosening.id} of each; undefined: it was not recorded. */
  readonly loosens?: readonly string[] | undefined;
}

/** An administrator's word for something that one person alone may not decide. Several of one person count once. */
export interface Word extends Order {
  readonly person?: string | undefined;
}

/** What people asked of a rollout. */
export interface RolloutOrders {
  readonly freeze: Freeze | undefined;
  /** `of`: the `since` of the pause that it ends. The failures that were known then are acknowledged with it. */
  readonly resume: (Order & { readonly of: number }) | undefined;
  /** `isRevert`: hosts that were told its releases are brought back to their stable ones. */
  readonly abort: (Order & { readonly isRevert?: boolean }) | undefined;
  /** Soaks and windows are passed over; approvals, error gates and budgets are not. `now`: see `missingForNow()`. */
  readonly hotfix: (Order & { readonly now?: readonly Word[] }) | undefined;
  readonly approvals: readonly Approval[];
  /** Of labels, asked of the fleet as a freeze is. Absent: none. */
  readonly stops?: readonly LabelStop[] | undefined;
}

export const NO_ORDERS: RolloutOrders = { freeze: undefined, resume: undefined, abort: undefined, hotfix: undefined, approvals: [] };

/** A person stopped all rollouts, and that has not ended. */
export function isFrozen({ freeze }: Pick<RolloutOrders, 'freeze'>, now: number): boolean {
  return freeze !== undefined && (freeze.until === undefined || now < freeze.until);
}

/** At most so many labels are stopped at once: each is named wherever its hosts are asked why. */
export const MAX_LABEL_STOPS = 16;

/** The stops of labels that have not ended. */
export function standingStops({ stops = [] }: Pick<RolloutOrders, 'stops'>, now: number): readonly LabelStop[] {
  return stops.filter(({ until }) => until === undefined || now < until);
}

/** Who wants the hosts back on stable that were told the rollout's releases; undefined: nobody, or it is not aborted yet. */
export function revertOf({ course, orders }: { readonly course: RolloutCourse; readonly orders: RolloutOrders }): HostSituation['revert'] {
  const { abort } = orders;
  return course.state === 'ABORTED' && abort?.isRevert === true ? { by: abort.by, reason: abort.reason } : undefined;
}
