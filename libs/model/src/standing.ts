import { isActivating, type AgentState } from './agent/state.ts';
import type { StorePath } from './brands.ts';
import type { EvaluationOutcome } from './evaluation.ts';
import { isOn, type Observed } from './observed.ts';
import type { Desired } from './resolve.ts';
import { isHandingOut, type RevisionState } from './revision-state.ts';

/** The standing of a host (SPEC.md, "Standing"). Page, command line, exit status, commit statuses and the counts of a rollout all use it. */
export const HOST_STANDINGS = [
  /** Runs what it should, and boots it next. */
  'in-sync',
  /** On its way to the system that it should run. */
  'under-way',
  /** Has the system, or may not download it yet. Its policy, its user or a restart decides when it goes on. */
  'waiting',
  /** Its ring's turn has not come: it keeps what it had. */
  'queued',
  /** The revision's rollout was aborted, or a person quarantined its system there: it keeps its own, or is back on its stable one. */
  'kept-back',
  /** A user keeps another system. */
  'local-override',
  /** Tried the system and rolled back. It is not offered again until an administrator retries it. */
  'rolled-back',
  /** Tried or refused the system, and did not recover. */
  'failed',
  /** Had the system, and was changed outside of Floe. */
  'drifted',
  /** The revision has no release for it: it does not evaluate or build. It keeps its last system. */
  'behind',
  /** Nobody builds for its architecture here. It keeps its last system. */
  'not-built',
  /** No longer in the flake. It keeps its last system. */
  'removed',
  /** Runs what it should, which is not the revision's system: a pin or a hold keeps it there. */
  'pinned',
  /** A person has it try another system until an end. */
  'trial',
  /** Not connected, and not yet on the system that it should run. */
  'away',
  'not-enrolled',
  /** In the flake, and none of Floe's: an installer, a template, a machine without the agent. */
  'not-ours',
  'no-release',
  'revoked',
  /** Two machines use its key. Both are refused. */
  'cloned',
] as const;
export type HostStanding = (typeof HOST_STANDINGS)[number];
/** The standings that follow from the machine and its desired release alone. */
type MachineStanding = Exclude<
  HostStanding,
  'behind' | 'not-built' | 'removed' | 'pinned' | 'trial' | 'queued' | 'kept-back' | 'not-enrolled' | 'not-ours' | 'revoked' | 'cloned'
>;

/** What a revision has for a host. `none`: no release, because of the host's own error, or because the whole revision failed. */
export type Offer =
  /** `isAborted`: no turn of the host comes: its rollout was aborted, or a person quarantined the system there. */
  | { readonly kind: 'release'; readonly toplevel: StorePath; readonly isAborted?: boolean }
  | { readonly kind: 'none'; readonly because: 'host' | 'revision' }
  | { readonly kind: 'removed' }
  /** Neither the server nor a remote builder builds for its architecture. */
  | { readonly kind: 'not-built' }
  /** It was not built: its configuration does not run the agent. It is built once a machine is enrolled. */
  | { readonly kind: 'not-ours' }
  /** No revision has finished yet, or this one does not know the host. */
  | { readonly kind: 'unknown' };

/** What the agent last reported about itself. */
export interface ReportedState {
  readonly observed: Observed;
  readonly state: AgentState;
  /** The toplevel that `state` is about. */
  readonly subject: StorePath | undefined;
  /** A user chose another system, and the agent keeps it: {@link isLocalOverride}. */
  readonly isOverridden: boolean;
  /** An administrator asked for a retry that the agent has not accepted yet. Its earlier report does not count. */
  readonly isRetryPending: boolean;
}

/** The inputs of {@link standingOf}. */
export interface HostFacts extends ReportedState {
  /** `cloned`: two machines were seen with its key. */
  readonly enrolment: 'none' | 'enrolled' | 'revoked' | 'cloned';
  readonly isConnected: boolean;
  /** What `resolve()` answers now. */
  readonly desired: Desired;
  /** What the revision in question has for the host. */
  readonly offer: Offer;
}

/** The standing of a host. Total: every combination of facts has exactly one. */
export function standingOf(facts: HostFacts): HostStanding {
  if (facts.enrolment === 'cloned') return 'cloned';
  if (facts.enrolment === 'revoked') return 'revoked';
  const { offer } = facts;
  // Also for a host that is not enrolled yet: its configuration is broken.
  if (offer.kind === 'none' && offer.because === 'host') return 'behind';
  if (facts.enrolment === 'none') return offer.kind === 'not-ours' ? 'not-ours' : 'not-enrolled';
  if (offer.kind === 'none') return 'behind';
  if (offer.kind === 'removed') return 'removed';
  if (offer.kind === 'not-built') return 'not-built';
  if (facts.desired.kind === 'release' && facts.desired.because === 'trial') return 'trial';
  if (isOrderedAway(facts)) return 'kept-back';
  const standing = standingOfMachine(facts);
  if (standing === 'in-sync' && isKeptElsewhere(facts)) return 'pinned';
  if (!isOlder(facts)) return standing;
  if (offer.kind === 'release' && offer.isAborted === true) return isKeptBack(standing, facts) ? 'kept-back' : standing;
  if (!QUEUES[standing]) return standing;
  return standing === 'no-release' && !facts.isConnected ? 'away' : 'queued';
}

/** Standings that, of a host that keeps an older system, only say that its ring's turn has not come. */
const QUEUES: Readonly<Record<MachineStanding, boolean>> = {
  'in-sync': true,
  'under-way': true,
  waiting: true,
  'no-release': true,
  'local-override': false,
  // From an older system: the newer one reaches it when its ring's turn comes.
  'rolled-back': true,
  failed: false,
  drifted: false,
  away: false,
};

/** It was told the system, and a person quarantined it there before it ran it. */
function isOrderedAway({ desired, ...facts }: HostFacts): boolean {
  return desired.kind === 'quarantined' && desired.order !== undefined && !hasArrived(facts, desired.release.toplevel);
}

/** One that is brought back is under way, away or waiting until it is there. */
function isKeptBack(standing: MachineStanding, { desired }: HostFacts): boolean {
  return standing === 'in-sync' || (QUEUES[standing] && !(desired.kind === 'release' && desired.because === 'revert'));
}

/** True when the revision has another system for the host than it is told to run, and no pin or hold is the reason. */
function isOlder({ desired, offer }: HostFacts): boolean {
  if (offer.kind !== 'release') return false;
  if (desired.kind === 'nothing') return true;
  const isByPerson = desired.kind === 'release' && (desired.because === 'pin' || desired.because === 'hold');
  if (desired.kind === 'release' && desired.because === 'rollout') return false;
  return !isByPerson && desired.release.toplevel !== offer.toplevel;
}

/** True when a pin or a hold keeps the host on another system than the revision's. */
function isKeptElsewhere({ desired, offer }: HostFacts): boolean {
  if (desired.kind !== 'release' || offer.kind !== 'release') return false;
  return (desired.because === 'pin' || desired.because === 'hold') && desired.release.toplevel !== offer.toplevel;
}

/** The standing of the machine towards its desired state, without regard to a revision and to the enrolment. */
export function standingOfMachine(facts: Omit<HostFacts, 'offer' | 'enrolment'>): MachineStanding {
  const { desired, state } = facts;
  if (desired.kind === 'nothing') return 'no-release';
  const { toplevel } = desired.release;
  if (hasArrived(facts, toplevel)) return 'in-sync';
  // It is not offered again, whatever the agent reports about other systems.
  if (desired.kind === 'quarantined') return desired.order === undefined ? 'rolled-back' : 'no-release';
  const isAboutIt = facts.subject === toplevel;
  if (!facts.isRetryPending) {
    if (isAboutIt && state === 'ROLLED_BACK') return 'rolled-back';
    if (isAboutIt && (state === 'ROLLBACK_FAILED' || state === 'BLOCKED')) return 'failed';
    if (isRefusal(state, facts.subject, toplevel)) return 'failed';
    if (facts.isOverridden) return 'local-override';
  }
  if (!facts.isConnected) return 'away';
  if (isAboutIt && isWaiting(state)) return 'waiting';
  if (isAboutIt && state === 'SUCCEEDED' && !facts.isRetryPending) return 'drifted';
  return 'under-way';
}

/**
 * What a revision in this state has for a host. `retryAt`: the host's error may be temporary; it has no release until the retry.
 * `isAborted`: its rollout was aborted.
 */
export function offerOf(
  state: RevisionState,
  evaluation: { readonly outcome: EvaluationOutcome; readonly toplevel?: StorePath | undefined; readonly retryAt?: number | undefined } | undefined,
  isAborted = false,
): Offer {
  if (evaluation === undefined) return isHandingOut(state) ? { kind: 'unknown' } : { kind: 'none', because: 'revision' };
  const { outcome, toplevel, retryAt } = evaluation;
  switch (outcome) {
    case 'NOT_EVALUATED':
      return offerOf(state, undefined);
    case 'REMOVED':
      return { kind: 'removed' };
    case 'NOT_OURS':
      return { kind: 'not-ours' };
    case 'NOT_BUILT_HERE':
      return { kind: 'not-built' };
    case 'EVAL_ERROR':
    case 'BUILD_ERROR':
      return { kind: 'none', because: 'host' };
    case 'UNCHANGED':
      return toplevel === undefined ? { kind: 'none', because: 'revision' } : released(toplevel, isAborted);
    case 'CHANGED':
    case 'NEW':
      if (!isHandingOut(state) || toplevel === undefined) return { kind: 'none', because: 'revision' };
      return retryAt === undefined ? released(toplevel, isAborted) : { kind: 'none', because: 'host' };
  }
}

function released(toplevel: StorePath, isAborted: boolean): Offer {
  return { kind: 'release', toplevel, ...(isAborted ? { isAborted } : {}) };
}

const NEEDS_ACTION: Readonly<Record<HostStanding, boolean>> = {
  'in-sync': false,
  'under-way': false,
  waiting: false,
  queued: false,
  'kept-back': false,
  'local-override': false,
  'rolled-back': true,
  failed: true,
  drifted: true,
  behind: true,
  'not-built': true,
  removed: true,
  pinned: false,
  trial: false,
  away: false,
  'not-enrolled': false,
  'not-ours': false,
  'no-release': false,
  revoked: false,
  cloned: true,
};

/** True when only an administrator can improve it. A host that is away, not enrolled, or revoked on purpose needs no attention. */
export function needsAction(standing: HostStanding): boolean {
  return NEEDS_ACTION[standing];
}

/** True when the agent last reported that it keeps a system that a user chose. */
export function isLocalOverride(state: AgentState, detail: { readonly code: string } | undefined): boolean {
  return state === 'IDLE' && detail?.code === 'LOCAL_OVERRIDE';
}

/** True when the agent refuses `toplevel`, or refused a directive that it could not read. */
function isRefusal(state: AgentState, subject: StorePath | undefined, toplevel: StorePath): boolean {
  return state === 'REJECTED' && (subject === toplevel || subject === undefined);
}

/** True when the agent has its directive, and its policy, its user or a restart decides when it goes on. */
export function isWaiting(state: AgentState): boolean {
  return state === 'DEFERRED' || state === 'BOOT_STAGED';
}

/** True when the host runs `toplevel`, boots it next, and no verdict about it is outstanding. */
export function hasArrived(host: Pick<ReportedState, 'observed' | 'state' | 'subject'>, toplevel: StorePath): boolean {
  return isOn(host.observed, toplevel) && !(host.subject === toplevel && isActivating(host.state));
}
