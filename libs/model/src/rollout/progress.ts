import { isActivating, type AgentState } from '../agent/state.ts';
import type { HostName, StorePath } from '../brands.ts';
import { hasArrived, isWaiting, type ReportedState } from '../standing.ts';

/**
 * A host that got a `go` for a system, until it reports a verdict, or that it did not begin. A disconnection does not end it: a system
 * that takes the network down would leave the statistics.
 */
export interface Went {
  readonly toplevel: StorePath;
  /** Until then there must be a verdict: the watchdog has acted by then. */
  readonly until: number;
  /** That of the directive that it is for; undefined: it was not recorded. */
  readonly epoch?: number | undefined;
}

/** What is known of one host towards the system of a rollout. */
export interface ProgressFacts extends ReportedState {
  /** Since when it is in its state; undefined: not known. */
  readonly since?: number | undefined;
  readonly isConnected: boolean;
  readonly toplevel: StorePath;
  readonly isQuarantined: boolean;
  readonly went: Went | undefined;
}

export const PROGRESS = [
  /** Runs the system, with a verdict. */
  'verified',
  /** Tried or refused it, or was lost after its `go`. */
  'failed',
  /** Between its `go` and the verdict. */
  'in-flight',
  /** Has it, or refuses it; its policy, its user, an administrator or a restart decides when it goes on. */
  'waiting',
  /** Connected, and on its way. */
  'to-come',
  /** Not connected, and not started. */
  'away',
] as const;
/** How far a host is with the system of a rollout. */
export type HostProgress = (typeof PROGRESS)[number];

type Said = Pick<ReportedState, 'state' | 'subject'>;

/** How far a host is. Only what it reported counts, and that it had a `go`: a host that was away before counts in no gate. */
export function progressOf(facts: ProgressFacts, now: number): HostProgress {
  const { toplevel, state, subject, went } = facts;
  if (hasArrived(facts, toplevel)) return 'verified';
  if (facts.isQuarantined) return 'failed';
  const isAboutIt = subject === toplevel;
  if (isAboutIt && !facts.isRetryPending) {
    if (state === 'ROLLED_BACK' || state === 'ROLLBACK_FAILED' || state === 'BLOCKED' || state === 'REJECTED') return 'failed';
    // It had it, and somebody changed the machine since: nobody knows when that ends.
    if (isWaiting(state) || state === 'SUCCEEDED') return 'waiting';
    if (isActivating(state)) return isLost(facts, now) ? 'failed' : 'in-flight';
  }
  // It refuses what it cannot read, perhaps the directive of an earlier rollout.
  if (state === 'REJECTED' && subject === undefined && !facts.isRetryPending) return 'waiting';
  if (isLost(facts, now)) return 'failed';
  if (went?.toplevel === toplevel && now <= went.until) return 'in-flight';
  return facts.isConnected ? 'to-come' : 'away';
}

/** By then a watchdog has acted, also through a restart, and also when the agent took its time to begin. */
export const VERDICT_MS = 60 * 60_000;

/**
 * It was allowed to activate the system, and past the time by which its watchdog has acted it is silent, or says that it is still at
 * it. Not while it waits. A system that waited for a restart has its time from the start of the machine on.
 */
export function isLost(
  { went, toplevel, isConnected, state, subject, since }: Omit<ProgressFacts, keyof ReportedState | 'isQuarantined'> & Said,
  now: number,
): boolean {
  const isAboutIt = subject === toplevel;
  if (isAboutIt && isWaiting(state)) return false;
  const startedUntil = isAboutIt && state === 'BOOT_VERIFYING' && since !== undefined ? since + VERDICT_MS : 0;
  return went?.toplevel === toplevel && now > Math.max(went.until, startedUntil) && (!isConnected || (isAboutIt && isActivating(state)));
}

/** It had its `go` for this system, and came to no verdict in time. */
export function isPastGo(went: Went | undefined, toplevel: StorePath, now: number): boolean {
  return went?.toplevel === toplevel && now > went.until;
}

/** Reports with these states about the system of a `go` end it. */
export const VERDICTS = ['SUCCEEDED', 'TRYING', 'ROLLED_BACK', 'ROLLBACK_FAILED', 'REJECTED', 'BLOCKED'] as const satisfies readonly AgentState[];

/**
 * What is left of a `go` after a report: a verdict about its system ends it, and so does the beginning of a later directive, for which the
 * agent waits until nothing changes any more. Nothing else does: a report from before the `go` may come late, and a `go` that is on its way
 * is followed. A host that waits again (DEFERRED) holds no place meanwhile, by {@link progressOf}.
 */
export function wentAfter(went: Went | undefined, { state, subject, epoch }: Said & { readonly epoch: number }): Went | undefined {
  if (went === undefined) return undefined;
  const isVerdict = subject === went.toplevel && (VERDICTS as readonly AgentState[]).includes(state);
  const isLater = state === 'OFFERED' && went.epoch !== undefined && epoch > went.epoch;
  return isVerdict || isLater ? undefined : went;
}

/** What an agent says last of a trial. */
export const TRIAL_ENDS = ['IDLE', 'REJECTED', 'ROLLBACK_FAILED'] as const satisfies readonly AgentState[];

/** A trial, as far as reports about it decide. */
export interface TrialOfReports {
  readonly toplevel: StorePath;
  readonly epoch: number;
  readonly isOpen: boolean;
}

/** Whether the report is the agent's last word about the trial. A refusal may come before the system in it was read. */
export function isLastWord(trial: Pick<TrialOfReports, 'toplevel' | 'epoch'>, { state, subject, epoch }: Said & { readonly epoch: number }): boolean {
  const isAboutIt = subject === trial.toplevel || (subject === undefined && state === 'REJECTED');
  return epoch >= trial.epoch && isAboutIt && (TRIAL_ENDS as readonly AgentState[]).includes(state);
}

/**
 * {@link wentAfter} of a host that had a trial: the last word about that ends the place, too, also when the trial was ended before it came, so
 * that the host has another epoch since.
 */
export function wentAfterTrial<Some extends Went>(
  went: Some | undefined,
  said: Said & { readonly epoch: number },
  { trial, epoch }: { readonly trial: TrialOfReports | undefined; readonly epoch: number },
): Some | undefined {
  if (trial !== undefined && went?.toplevel === trial.toplevel && isOfTrial(said, { trial, epoch })) return undefined;
  return wentAfter(went, said) && went;
}

/** It is the agent's last word about the trial, also where that was ended before it came: the host, which is at `epoch`, has another one since. */
function isOfTrial(
  said: Said & { readonly epoch: number },
  { trial, epoch }: { readonly trial: TrialOfReports | undefined; readonly epoch: number },
): boolean {
  return trial !== undefined && isLastWord(trial, said) && (trial.isOpen || said.epoch < epoch);
}

/**
 * The state that a report or a hello tells, as it counts. That an agent refused a trial is no refusal of what the fleet has, which may be the very
 * same system: the agent says it again with each hello until it is told something else.
 */
export function stateAfterTrial(
  said: Said & { readonly epoch: number },
  at: { readonly trial: TrialOfReports | undefined; readonly epoch: number },
): AgentState {
  return said.state === 'REJECTED' && isOfTrial(said, at) ? 'IDLE' : said.state;
}

/**
 * The place of a host that gets its `go`. Asking again takes no new time while the place lasts; after that it does, since its user made it
 * wait, or it slept.
 */
export function wentAgain(
  before: Went | undefined,
  go: { readonly toplevel: StorePath; readonly epoch: number },
  now: number,
  lastsMs: number,
): Went {
  const isSame = before?.toplevel === go.toplevel && now <= before.until;
  return { ...go, until: isSame ? before.until : now + lastsMs };
}

/** A host of the rollout, as its gates see it. */
export interface RingHost {
  readonly host: HostName;
  readonly ring: number;
  readonly toplevel: StorePath;
  /** The sequence of the commit that changed it last: hosts with the same one have a change in common. Undefined: not known. */
  readonly change?: number | undefined;
  /** As its agent says, e.g. `x86_64-linux`. */
  readonly platform: string | undefined;
  /** Of its configuration, an IANA name; undefined: it has none. */
  readonly timeZone?: string | undefined;
  /**
   * It is asked: it is enrolled, no pin, hold or user keeps it elsewhere, and the rollout's system is not the one that it had been
   * proved to run.
   */
  readonly isEligible: boolean;
  /** A trial, a pin, a hold or its user keeps it on another system, so that it is not asked. */
  readonly isKept?: boolean | undefined;
  /** It was asked: this rollout was complete, and so the system is its stable one. For people; a decision asks nobody again. */
  readonly wasAsked?: boolean | undefined;
  readonly progress: HostProgress;
  /** Away, but not for long: it may come back any moment. */
  readonly isBrieflyAway: boolean;
  /** Why it failed, for people. */
  readonly failure: string | undefined;
  /** A person saw that failure, and resumed. */
  readonly isAcknowledged: boolean;
  /** Failures that are not its own in this rollout: with what earlier commits had for it, and with what is stable for it. */
  readonly failedBefore?: readonly EarlierFailure[] | undefined;
}

/** A failure with a system about which the rollout does not ask that host: an earlier one, or its stable one. */
export interface EarlierFailure {
  readonly toplevel: StorePath;
  /** The sequence of its commit. */
  readonly change: number;
  readonly failure: string | undefined;
  readonly isAcknowledged: boolean;
}
