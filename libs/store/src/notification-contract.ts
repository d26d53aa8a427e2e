import type { NotificationEvent } from '@floe/model';
import type { Timestamp } from './timestamp.ts';

/** How it goes with a target of notifications. */
export interface NotificationTargetState {
  readonly name: string;
  readonly lastSentAt: Timestamp | undefined;
  /** Since when, how often and why nothing could be sent to it. */
  readonly failing: { readonly since: Timestamp; readonly failures: number; readonly error: string } | undefined;
  /** How many events it is still to be sent. */
  readonly waiting: number;
}

export interface DueEvent {
  readonly id: number;
  readonly event: NotificationEvent;
}

export type NotificationClaim =
  /** These are its holder's to send, together as one message, until the claim ends. */
  | { readonly kind: 'send'; readonly claim: number; readonly events: readonly DueEvent[] }
  /** `until`: when there may be something; undefined: when something happens. */
  | { readonly kind: 'wait'; readonly until: Timestamp | undefined };

/**
 * The events that each target is sent, at least once: one at a time by one of the servers, and what its holder does not mark until the
 * claim ends is sent again. The marks of a claim that was taken over do nothing.
 */
export interface NotificationStore {
  /** These targets are in the settings. A new one is told what happens from `now` on. */
  ensure(names: readonly string[], now: Timestamp): Promise<void>;
  /** Drops what a target was told, what is from before it, and what is too old to be told. */
  put(events: readonly { readonly target: string; readonly event: NotificationEvent }[], now: Timestamp): Promise<void>;
  /** Takes what is to be sent to a target now, by `planSending` of libs/model, for `leaseMs`. */
  claim(target: string, now: Timestamp, leaseMs: number): Promise<NotificationClaim>;
  markSent(target: string, claimed: { readonly claim: number; readonly events: readonly DueEvent[] }, at: Timestamp): Promise<void>;
  /** Nothing is sent to the target until `pausedUntil`; then the events that were tried least come first. */
  markFailed(
    target: string,
    claimed: { readonly claim: number; readonly events: readonly DueEvent[] },
    failure: { readonly error: string; readonly at: Timestamp; readonly pausedUntil: Timestamp },
  ): Promise<void>;
  states(): Promise<readonly NotificationTargetState[]>;
  /** Deletes events from before `before`. Returns the number. */
  prune(before: Timestamp): Promise<number>;
  /** Deletes targets that no server had in its settings since `before`. Returns the number. */
  pruneTargets(before: Timestamp): Promise<number>;
}
