import { isActivating, type AgentState } from './agent/state.ts';
import type { StorePath } from './brands.ts';
import type { EvaluationOutcome } from './evaluation.ts';
import { isOn, type Observed } from './observed.ts';
import type { Desired } from './resolve.ts';
import type { RevisionState } from './revision-state.ts';

/**
 * Where a host stands, in one word (SPEC.md, "Standing"). Page, command line, exit status, commit statuses and the counts of a
 * rollout all say this word, and nothing beside it.
 */
export const HOST_STANDINGS = [
  /** Runs what it should, and starts it next time. */
  'in-sync',
  /** On its way there. */
  'under-way',
  /** Has it, or may not download it yet; its policy, its people or a restart decide when. */
  'waiting',
  /** A person at the machine keeps another system. */
  'local-override',
  /** Tried it and rolled back: not offered again until an administrator says so. */
  'rolled-back',
  /** Tried or refused it, and is in no good state. */
  'failed',
  /** Had it, and was changed by somebody else. */
  'drifted',
  /** The revision has nothing for it: it does not evaluate or build. It keeps what it had. */
  'behind',
  /** No longer in the flake. It keeps what it had. */
  'removed',
  /** Runs what it should, which is not the revision's system: a pin or a hold keeps it. */
  'pinned',
  /** Not connected, and not there yet. */
  'away',
  'not-enrolled',
  'no-release',
  'revoked',
  /** Two machines use its key: both are shut out. */
  'cloned',
] as const;
export type HostStanding = (typeof HOST_STANDINGS)[number];

/** What a revision has for a host. `none`: `host`, by an error of its own; `revision`, because the revision failed as a whole. */
export type Offer =
  | { readonly kind: 'release'; readonly toplevel: StorePath }
  | { readonly kind: 'none'; readonly because: 'host' | 'revision' }
  | { readonly kind: 'removed' }
  /** No revision has come to its end yet, or this one does not know the host. */
  | { readonly kind: 'unknown' };

/** What the agent last said of itself. */
export interface AgentWord {
  readonly observed: Observed;
  readonly state: AgentState;
  /** The toplevel that `state` is about. */
  readonly subject: StorePath | undefined;
  /** A person at the machine chose another system, and the agent does not fight it: {@link isLocalOverride}. */
  readonly isOverridden: boolean;
  /** An administrator had it try again, and its agent has not taken that up: what it said before counts no more. */
  readonly isToRetry: boolean;
}

/** All that decides where a host stands. */
export interface HostFacts extends AgentWord {
  /** `cloned`: two machines were seen with its key. */
  readonly enrolment: 'none' | 'enrolled' | 'revoked' | 'cloned';
  readonly isConnected: boolean;
  /** What `resolve()` wants on it now. */
  readonly desired: Desired;
  /** What the revision that is asked about has for it. */
  readonly offer: Offer;
}

/** Where a host stands. Total: every combination of facts has one answer. */
export function standingOf(facts: HostFacts): HostStanding {
  if (facts.enrolment === 'cloned') return 'cloned';
  if (facts.enrolment === 'revoked') return 'revoked';
  const { offer } = facts;
  // Also of a host that nobody enrolled yet: its configuration is broken.
  if (offer.kind === 'none' && offer.because === 'host') return 'behind';
  if (facts.enrolment === 'none') return 'not-enrolled';
  if (offer.kind === 'none') return 'behind';
  if (offer.kind === 'removed') return 'removed';
  const standing = standingOfMachine(facts);
  return standing === 'in-sync' && isKeptElsewhere(facts) ? 'pinned' : standing;
}

/** True when a pin or a hold wants another system than the revision has for the host. */
function isKeptElsewhere({ desired, offer }: HostFacts): boolean {
  if (desired.kind !== 'release' || offer.kind !== 'release') return false;
  return (desired.because === 'pin' || desired.because === 'hold') && desired.release.toplevel !== offer.toplevel;
}

/** Where the machine stands with what it should run now, whatever a revision has for it, and whoever may talk to it. */
export function standingOfMachine(facts: Omit<HostFacts, 'offer' | 'enrolment'>): HostStanding {
  const { desired, state } = facts;
  if (desired.kind === 'nothing') return 'no-release';
  const { toplevel } = desired.release;
  if (hasArrived(facts, toplevel)) return 'in-sync';
  // Nobody offers it again, whatever the agent says of other systems.
  if (desired.kind === 'quarantined') return 'rolled-back';
  const isAboutIt = facts.subject === toplevel;
  if (!facts.isToRetry) {
    if (isAboutIt && state === 'ROLLED_BACK') return 'rolled-back';
    if (isAboutIt && (state === 'ROLLBACK_FAILED' || state === 'BLOCKED')) return 'failed';
    if (isRefusal(state, facts.subject, toplevel)) return 'failed';
    if (facts.isOverridden) return 'local-override';
  }
  if (!facts.isConnected) return 'away';
  if (isAboutIt && isWaiting(state)) return 'waiting';
  if (isAboutIt && state === 'SUCCEEDED' && !facts.isToRetry) return 'drifted';
  return 'under-way';
}

/** What a revision in this state has for a host. `retryAt`: the host's trouble may pass, and it has no release until then. */
export function offerOf(
  state: RevisionState,
  evaluation: { readonly outcome: EvaluationOutcome; readonly toplevel?: StorePath | undefined; readonly retryAt?: number | undefined } | undefined,
): Offer {
  if (evaluation === undefined) return state === 'PUBLISHED' ? { kind: 'unknown' } : { kind: 'none', because: 'revision' };
  const { outcome, toplevel, retryAt } = evaluation;
  switch (outcome) {
    case 'REMOVED':
      return { kind: 'removed' };
    case 'EVAL_ERROR':
    case 'BUILD_ERROR':
      return { kind: 'none', because: 'host' };
    case 'UNCHANGED':
      return toplevel === undefined ? { kind: 'none', because: 'revision' } : { kind: 'release', toplevel };
    case 'CHANGED':
    case 'NEW':
      if (state !== 'PUBLISHED' || toplevel === undefined) return { kind: 'none', because: 'revision' };
      return retryAt === undefined ? { kind: 'release', toplevel } : { kind: 'none', because: 'host' };
  }
}

const CALLS: Readonly<Record<HostStanding, boolean>> = {
  'in-sync': false,
  'under-way': false,
  waiting: false,
  'local-override': false,
  'rolled-back': true,
  failed: true,
  drifted: true,
  behind: true,
  removed: true,
  pinned: false,
  away: false,
  'not-enrolled': false,
  'no-release': false,
  revoked: false,
  cloned: true,
};

/** True when it does not get better without a person. A host that is away, not enrolled, or revoked on purpose needs nobody. */
export function needsPerson(standing: HostStanding): boolean {
  return CALLS[standing];
}

/** True when the agent's last word is that it keeps what a person at the machine chose. */
export function isLocalOverride(state: AgentState, detail: { readonly code: string } | undefined): boolean {
  return state === 'IDLE' && detail?.code === 'LOCAL_OVERRIDE';
}

/** True when the agent refuses `toplevel`: by name, or a directive that it could not take so far as to learn what it is about. */
function isRefusal(state: AgentState, subject: StorePath | undefined, toplevel: StorePath): boolean {
  return state === 'REJECTED' && (subject === toplevel || subject === undefined);
}

/** True when the agent has what it was told, and its policy, its people or a restart decide when. */
export function isWaiting(state: AgentState): boolean {
  return state === 'DEFERRED' || state === 'BOOT_STAGED';
}

/** True when the host runs `toplevel`, starts it next time, and no verdict about it is outstanding. */
export function hasArrived(host: Pick<AgentWord, 'observed' | 'state' | 'subject'>, toplevel: StorePath): boolean {
  return isOn(host.observed, toplevel) && !(host.subject === toplevel && isActivating(host.state));
}
