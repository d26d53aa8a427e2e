import { isActivating, type AgentState } from './agent/state.ts';
import type { StorePath } from './brands.ts';
import type { EvaluationOutcome } from './evaluation.ts';
import { isOn, type Observed } from './observed.ts';

export const ROLLOUT_STATES = ['WAITING_APPROVAL', 'READY', 'ROLLING', 'SOAKING', 'COMPLETE', 'PAUSED', 'ABORTED', 'SUPERSEDED'] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

/** One host as a rollout sees it. */
export interface RolloutHost {
  /** The host's toplevel at the rollout's revision; undefined when it has none (evaluation or build failed). */
  readonly toplevel: StorePath | undefined;
  readonly outcome: EvaluationOutcome;
  readonly isEnrolled: boolean;
  readonly isConnected: boolean;
  readonly observed: Observed;
  readonly state: AgentState;
  /** The toplevel that `state` is about. */
  readonly subject: StorePath | undefined;
  readonly isQuarantined: boolean;
  /** A person at the machine chose another system, and the agent does not fight it: {@link isLocalOverride}. */
  readonly isOverridden: boolean;
  /** An administrator had it try again, and its agent has not taken that up: what it said before counts no more. */
  readonly isToRetry: boolean;
}

/** True when the agent's last word is that it keeps what a person at the machine chose. */
export function isLocalOverride(state: AgentState, detail: { readonly code: string } | undefined): boolean {
  return state === 'IDLE' && detail?.code === 'LOCAL_OVERRIDE';
}

/** True when the agent refuses `toplevel`: by name, or a directive that it could not take so far as to learn what it is about. */
export function isRefusal(state: AgentState, subject: StorePath | undefined, toplevel: StorePath): boolean {
  return state === 'REJECTED' && (subject === toplevel || subject === undefined);
}

/** True when the agent has what it was told, and its policy, its people or a restart decide when. */
export function isWaiting(state: AgentState): boolean {
  return state === 'DEFERRED' || state === 'BOOT_STAGED';
}

/** True when the host runs `toplevel`, starts it next time, and no verdict about it is outstanding. */
export function hasArrived(host: Pick<RolloutHost, 'observed' | 'state' | 'subject'>, toplevel: StorePath): boolean {
  return isOn(host.observed, toplevel) && !(host.subject === toplevel && isActivating(host.state));
}

/** Every host of a revision is in exactly one of these; they sum to `total`. */
export interface RolloutCounts {
  readonly total: number;
  /** Runs it, and starts it next time. */
  readonly onIt: number;
  /** Told, and on its way. */
  readonly underWay: number;
  /** Has it and waits (for a window, for its user, for a restart), or is kept on another system by its user. Not a failure. */
  readonly waiting: number;
  /** Tried it and put itself back. */
  readonly rolledBack: number;
  /** Tried or refused it, and is in no good state. */
  readonly failed: number;
  /** Not connected, and not on it. Not a failure. */
  readonly away: number;
  /** In the flake, but no agent ever enrolled. */
  readonly notEnrolled: number;
  /** Keeps its last release, because this revision gave it none. */
  readonly behind: number;
}

export type RolloutHostStanding = Exclude<keyof RolloutCounts, 'total'>;

/** Where one host stands in a rollout, from what was observed and nothing else. */
export function standingOf(host: RolloutHost): RolloutHostStanding {
  if (host.toplevel === undefined) return 'behind';
  if (!host.isEnrolled) return 'notEnrolled';
  if (hasArrived(host, host.toplevel)) return 'onIt';
  const isAboutIt = host.subject === host.toplevel;
  if (!host.isToRetry) {
    if (host.isQuarantined || (isAboutIt && host.state === 'ROLLED_BACK')) return 'rolledBack';
    if (isAboutIt && host.state === 'ROLLBACK_FAILED') return 'failed';
    if (isRefusal(host.state, host.subject, host.toplevel)) return 'failed';
    if (host.isOverridden) return 'waiting';
  }
  if (!host.isConnected) return 'away';
  return isAboutIt && isWaiting(host.state) ? 'waiting' : 'underWay';
}

/** Counts the hosts of a rollout. REMOVED hosts are not part of it. */
export function countRollout(hosts: readonly RolloutHost[]): RolloutCounts {
  const counts = { total: 0, onIt: 0, underWay: 0, waiting: 0, rolledBack: 0, failed: 0, away: 0, notEnrolled: 0, behind: 0 };
  for (const host of hosts) {
    if (host.outcome === 'REMOVED') continue;
    counts.total += 1;
    counts[standingOf(host)] += 1;
  }
  return counts;
}

/** True when no connected host is still on its way: what is left is on it, waits, failed, or is not here. */
export function isSettled(counts: RolloutCounts): boolean {
  return counts.underWay === 0;
}
