import type { AgentPolicy } from '@floe/protocol';
import { HOUR_MS, MINUTE_MS } from './times.ts';

/** How long one system waits already, and what the person at the machine said to it. Times in ms since 1970. */
export interface Deferral {
  /** When this system was first staged; for a reboot: staged for the next start. */
  readonly since: number;
  readonly laterCount: number;
  readonly laterUntil: number | null;
}

export type LaterOutcome =
  | { readonly kind: 'granted'; readonly deferral: Deferral; readonly until: number }
  | { readonly kind: 'refused'; readonly code: LaterRefusal; readonly message: string };
export type LaterRefusal = 'LATER_NOT_OFFERED' | 'LATER_MALFORMED' | 'LATER_USED_UP' | 'LATER_PAST_DEADLINE';

/**
 * What is left of a deferral when the clock was set back since: nothing was waited yet, and "later" lasts no longer than
 * the policy lets it. The same object when nothing is wrong. Keep what it returns: with times that lie ahead, a machine
 * whose clock was a year ahead once would wait for a year.
 */
export function correctDeferral({ policy, deferral, now }: { policy: AgentPolicy; deferral: Deferral; now: number }): Deferral {
  const latest = now + policy.later.maxMinutes * MINUTE_MS;
  const since = Math.min(deferral.since, now);
  const laterUntil = deferral.laterUntil === null ? null : Math.min(deferral.laterUntil, latest);
  return since === deferral.since && laterUntil === deferral.laterUntil ? deferral : { ...deferral, since, laterUntil };
}

/** When waiting ends whatever the conditions; null: never. `deadlineHours` is the policy's for an activation or a reboot. */
export function deadlineOf(deferral: Deferral, deadlineHours: number | null): number | null {
  return deadlineHours === null ? null : deferral.since + deadlineHours * HOUR_MS;
}

export interface LaterRequest {
  readonly policy: AgentPolicy;
  readonly deferral: Deferral;
  readonly requestedMinutes: number;
  readonly now: number;
  /** Of what is put off: {@link AgentPolicy}'s own for an activation, the one of its `reboot` for a reboot. Default: the former. */
  readonly deadlineHours?: number | null;
}

/** The person's "later": as long as asked for, within the policy's limit and never past the deadline. The new one replaces the one before. */
export function grantLater(request: LaterRequest): LaterOutcome {
  const { policy, requestedMinutes, now } = request;
  const { maxCount, maxMinutes } = policy.later;
  const deferral = correctDeferral(request);
  const deadline = deadlineOf(deferral, request.deadlineHours === undefined ? policy.deadlineHours : request.deadlineHours);
  const refuse = (code: LaterRefusal, message: string): LaterOutcome => ({ kind: 'refused', code, message });
  if (maxCount === 0 || maxMinutes === 0) return refuse('LATER_NOT_OFFERED', "this machine's configuration does not let changes be put off");
  if (!Number.isFinite(requestedMinutes) || requestedMinutes <= 0) {
    return refuse('LATER_MALFORMED', `say for how many minutes, up to ${maxMinutes}`);
  }
  if (deferral.laterCount >= maxCount) {
    return refuse('LATER_USED_UP', `this system was put off ${deferral.laterCount} times already, ${maxCount} are allowed`);
  }
  if (deadline !== null && deadline <= now) {
    return refuse('LATER_PAST_DEADLINE', 'this system waited for as long as the configuration lets it, and goes ahead now');
  }
  const until = Math.min(now + Math.min(requestedMinutes, maxMinutes) * MINUTE_MS, deadline ?? Infinity);
  return { kind: 'granted', deferral: { ...deferral, laterCount: deferral.laterCount + 1, laterUntil: until }, until };
}
