import type { Deferral } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';
import { minutesInMs } from './times.ts';

/** The part of a deferral that decides: when the wait began, and a user's "later". Times in ms since 1970. */
export type DeferralTimes = Pick<Deferral, 'since' | 'laterCount' | 'laterUntil'>;

export type LaterOutcome =
  | { readonly kind: 'granted'; readonly deferral: DeferralTimes; readonly until: number }
  | { readonly kind: 'refused'; readonly code: LaterRefusal; readonly message: string };
export type LaterRefusal = 'LATER_NOT_OFFERED' | 'LATER_MALFORMED' | 'LATER_USED_UP' | 'LATER_PAST_DEADLINE';

/**
 * The deferral after the clock was set back: the wait begins now at the latest, and "later" lasts no longer than the policy
 * allows. The same object when nothing is wrong. Store the result: with dates from a clock that was a year ahead, a machine
 * would wait for a year.
 */
export function correctDeferral({ policy, deferral, now }: { policy: AgentPolicy; deferral: DeferralTimes; now: number }): DeferralTimes {
  const latest = now + minutesInMs(policy.later.maxMinutes);
  const since = Math.min(deferral.since, now);
  const laterUntil = deferral.laterUntil === null ? null : Math.min(deferral.laterUntil, latest);
  return since === deferral.since && laterUntil === deferral.laterUntil ? deferral : { ...deferral, since, laterUntil };
}

/** When the wait ends whatever the conditions; null: never. `deadlineHours`: the policy's for an activation or a reboot. */
export function deadlineOf(deferral: DeferralTimes, deadlineHours: number | null): number | null {
  return deadlineHours === null ? null : deferral.since + minutesInMs(deadlineHours * 60);
}

/** How often users can still put it off at `now`. */
export function laterLeft(
  { policy, deferral, now }: { policy: AgentPolicy; deferral: DeferralTimes; now: number },
  deadlineAt: number | null,
): number {
  const { maxCount, maxMinutes } = policy.later;
  if (maxMinutes === 0 || (deadlineAt !== null && deadlineAt <= now)) return 0;
  return Math.max(0, maxCount - deferral.laterCount);
}

export interface LaterRequest {
  readonly policy: AgentPolicy;
  readonly deferral: DeferralTimes;
  readonly requestedMinutes: number;
  readonly now: number;
  /** The policy's deadline for an activation (default), or its `reboot.deadlineHours`. */
  readonly deadlineHours?: number | null;
}

/** A user's "later": as long as requested, within the policy's limit and the deadline. It replaces an earlier one. */
export function grantLater(request: LaterRequest): LaterOutcome {
  const { policy, requestedMinutes, now } = request;
  const { maxCount, maxMinutes } = policy.later;
  const deferral = correctDeferral(request);
  const deadline = deadlineOf(deferral, request.deadlineHours === undefined ? policy.deadlineHours : request.deadlineHours);
  const refuse = (code: LaterRefusal, message: string): LaterOutcome => ({ kind: 'refused', code, message });
  if (maxCount === 0 || maxMinutes === 0) return refuse('LATER_NOT_OFFERED', "this machine's configuration does not allow deferring changes");
  if (!Number.isFinite(requestedMinutes) || requestedMinutes <= 0) {
    return refuse('LATER_MALFORMED', `the number of minutes must be between 1 and ${maxMinutes}`);
  }
  if (deferral.laterCount >= maxCount) {
    return refuse('LATER_USED_UP', `this system was deferred as often as the configuration allows (${deferral.laterCount} of ${maxCount})`);
  }
  if (deadline !== null && deadline <= now) {
    return refuse('LATER_PAST_DEADLINE', 'this system has waited as long as the configuration allows, and goes ahead now');
  }
  const until = Math.min(now + minutesInMs(Math.min(requestedMinutes, maxMinutes)), deadline ?? Infinity);
  return { kind: 'granted', deferral: { ...deferral, laterCount: deferral.laterCount + 1, laterUntil: until }, until };
}
