import type { AgentState } from '../agent/state.ts';
import type { StorePath, HostName } from '../brands.ts';
import type { Desired } from '../resolve.ts';
import { isNamedByPause, type Asking } from './admit.ts';
import { isFrozen, type RolloutCourse, type RolloutOrders } from './course.ts';

/** A host, and the release that it is to have. */
export interface ToHave {
  readonly host: HostName;
  readonly toplevel: StorePath;
  readonly because: Asking['because'];
  /** What its agent last reported, and about which system. */
  readonly state: AgentState;
  readonly subject: StorePath | undefined;
  /** It was withdrawn before, with this release. */
  readonly isStaged: boolean;
  /** People stopped one of its labels. */
  readonly isLabelStopped?: boolean;
  /** Of an older commit: the rollout that hosts follow has another system for it. */
  readonly isSuperseded?: boolean;
}

/** What a host was told last, and what its agent last reported. */
export interface ToldBefore extends Pick<ToHave, 'state' | 'subject' | 'isStaged'> {
  /** Undefined: it was told nothing yet. */
  readonly toplevel: StorePath | undefined;
}

/** A person quarantined a system that waits there for a restart: it is told to have it only, until that is lifted. */
export function isTakenBack(told: ToldBefore, desired: Desired): desired is Extract<Desired, { kind: 'quarantined' }> {
  if (desired.kind !== 'quarantined' || desired.order === undefined || told.toplevel !== desired.release.toplevel) return false;
  return told.isStaged || (told.state === 'BOOT_STAGED' && told.subject === told.toplevel);
}

/**
 * Whether a host that was told the release is to have it only, and not to activate it: it waits for a restart, and its rollout was paused,
 * aborted or frozen, or its label was stopped meanwhile. The agent then takes the staged system back, and waits for its `go` when the release is promoted again, with
 * a new epoch. One that has been restarted into it has begun, and comes to its verdict. Pure.
 */
export function isWithdrawn(
  to: ToHave,
  { course, orders }: { readonly course: RolloutCourse; readonly orders: RolloutOrders },
  now: number,
): boolean {
  const isByPerson = to.isLabelStopped === true || isFrozen(orders, now);
  const isStopped = isByPerson || course.state === 'PAUSED' || course.state === 'ABORTED';
  const isOfRollout = to.because === 'kept' || (to.because === 'rollout' && isStopped);
  // Its failure paused the rollout, and somebody had it try again: as its `go`, that waits for a freeze and a stop.
  if (!isOfRollout || (!isByPerson && isNamedByPause(to, course))) return false;
  // Superseded meanwhile: it gets the newer one when its ring's turn comes, and has nothing staged until then.
  return to.isStaged || (isStopped && to.state === 'BOOT_STAGED' && to.subject === to.toplevel);
}
