import type { HostName, StorePath } from '../brands.ts';
import { resolve, type Desired, type HostSituation } from '../resolve.ts';
import { isFrozen, type RolloutCourse, type RolloutOrders } from './course.ts';
import type { RolloutPolicy } from './policy.ts';
import { isRingPromoted } from './table.ts';

type Because = Extract<Desired, { kind: 'release' }>['because'];

/** A host that asks for its `go`. */
export interface Asking {
  readonly host: HostName;
  /** What it is to activate. */
  readonly toplevel: StorePath;
  /** By what it may begin. */
  readonly because: Because;
  /** Its ring in the rollout, and its labels. */
  readonly ring: number;
  readonly labels: readonly string[];
  /** A person asks for it at once: that passes over the window, and over nothing else. */
  readonly isUrgent?: boolean;
  /** People stopped one of its labels. */
  readonly isStopped?: boolean;
  /** Of an older commit: the rollout that hosts follow has another system for it. */
  readonly isSuperseded?: boolean;
  /** It had its `go` for this, and came to no verdict in time. */
  readonly wasLost?: boolean;
}

/** How many hosts are between their `go` and the verdict. */
export interface InFlight {
  readonly fleet: number;
  /** Of the asking host's ring. */
  readonly ring: number;
  readonly byLabel: ReadonlyMap<string, number>;
}

export interface AdmitFacts {
  readonly policy: RolloutPolicy;
  /** Undefined: nothing is rolled out. */
  readonly course: RolloutCourse | undefined;
  readonly orders: RolloutOrders;
  /** Whether changes of the host's ring may begin now. */
  readonly isWindowOpen: boolean;
  readonly inFlight: InFlight;
}

/** Why a host has to wait for its `go`. */
export type AdmitAnswer =
  | { readonly kind: 'go' }
  | { readonly kind: 'wait'; readonly for: 'freeze' | 'label-stop' | 'pause' | 'ring' | 'window' | 'newer' }
  | { readonly kind: 'wait'; readonly for: 'in-flight'; readonly limit: number; readonly of: 'fleet' | 'ring' | { readonly label: string } };

const GO: AdmitAnswer = { kind: 'go' };

/**
 * By what a host may begin with what it was told. A hold keeps a host where it is: it brings it nothing that would not come without the
 * hold, but for its stable release and for what is in its profile, which it has verified once.
 */
export function mayBeginBy(
  { release, because }: Extract<Desired, { kind: 'release' }>,
  situation: HostSituation,
  profile: StorePath | undefined,
): Because {
  if (because !== 'hold') return because;
  const free = resolve({ ...situation, hold: undefined });
  if (free.kind === 'release' && free.release.id === release.id && free.because !== 'kept') return free.because;
  return release.toplevel === situation.stable?.toplevel || release.toplevel === profile ? 'hold' : 'kept';
}

/**
 * Whether the host may activate what it was told to run. Limits hold for every change; rings for those of a rollout; windows for those, and
 * for stable, which a rollout left.
 */
export function admit(asking: Asking, facts: AdmitFacts, now: number): AdmitAnswer {
  const { course, orders } = facts;
  const isOfFleet = asking.because !== 'trial' && asking.because !== 'pin' && asking.because !== 'hold';
  if (asking.isStopped === true && isOfFleet) return { kind: 'wait', for: 'label-stop' };
  // The way back has no ring, no gate and no window.
  if (asking.because === 'revert' && isFrozen(orders, now)) return { kind: 'wait', for: 'freeze' };
  if (asking.because === 'rollout' || asking.because === 'kept') {
    if (isFrozen(orders, now)) return { kind: 'wait', for: 'freeze' };
    // Its failure paused the rollout, and somebody had it try again: nobody else is changed by that.
    if (isNamedByPause(asking, course)) return withinLimits(asking, facts);
    // Of an older rollout, which has no ring that could let it pass any more.
    if (asking.because === 'kept') return { kind: 'wait', for: course?.state === 'PAUSED' ? 'pause' : 'newer' };
    if (course === undefined || !isRingPromoted(course, asking.ring)) return { kind: 'wait', for: 'ring' };
  }
  if ((asking.because === 'rollout' || asking.because === 'stable') && !facts.isWindowOpen && orders.hotfix === undefined && asking.isUrgent !== true)
    return { kind: 'wait', for: 'window' };
  return withinLimits(asking, facts);
}

/**
 * Its failure with the rollout's system is one of those for which the rollout is paused. Not a failure with an earlier commit: this host has
 * something newer by now. Nor a host that was lost: nobody had it try again.
 */
export function isNamedByPause(
  { host, toplevel, isSuperseded, wasLost }: Pick<Asking, 'host' | 'toplevel' | 'isSuperseded' | 'wasLost'>,
  course: RolloutCourse | undefined,
): boolean {
  if (isSuperseded === true || wasLost === true) return false;
  const { pause } = course ?? {};
  return course?.state === 'PAUSED' && pause?.cause === 'failures' && pause.failures.some((each) => each.host === host && each.toplevel === toplevel);
}

function withinLimits({ ring, labels }: Asking, { policy, inFlight }: AdmitFacts): AdmitAnswer {
  if (policy.maxInFlight !== undefined && inFlight.fleet >= policy.maxInFlight)
    return { kind: 'wait', for: 'in-flight', limit: policy.maxInFlight, of: 'fleet' };
  const limit = policy.rings[ring]?.maxInFlight;
  if (limit !== undefined && inFlight.ring >= limit) return { kind: 'wait', for: 'in-flight', limit, of: 'ring' };
  for (const { label, atMost } of policy.budgets)
    if (labels.includes(label) && (inFlight.byLabel.get(label) ?? 0) >= atMost)
      return { kind: 'wait', for: 'in-flight', limit: atMost, of: { label } };
  return GO;
}
