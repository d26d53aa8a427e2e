import { resolve, type HostSituation, type ReleaseRef } from '../resolve.ts';
import { hasNewLoosening } from './approvals.ts';
import { isFirstChanging, type RolloutCourse, type RolloutOrders } from './course.ts';
import type { Loosening } from './facts.ts';
import type { RolloutPolicy } from './policy.ts';

/** What is known of the rollout whose releases hosts may download ahead. */
export interface AheadFacts {
  readonly course: RolloutCourse;
  readonly policy: RolloutPolicy;
  /** How its policy is weaker than the one before; undefined: that is not known yet. */
  readonly weaker: readonly Loosening[] | undefined;
  readonly orders: Pick<RolloutOrders, 'approvals'>;
}

/**
 * The release that the host will run when its ring's turn comes, and may download now; undefined: there is none. It is what
 * {@link resolve} would answer in a promoted ring, so nothing is downloaded because of it that could not be directed. Approvals of a ring
 * need not be there; but before an administrator has approved a weaker policy, that policy counts for nothing, not for this either.
 */
export function releaseAhead(situation: HostSituation, { course, policy, weaker, orders }: AheadFacts): ReleaseRef | undefined {
  if (!policy.downloads.ahead || !isUnderWay(course, { weaker, orders })) return undefined;
  const next = resolve({ ...situation, isRingPromoted: true });
  if (next.kind !== 'release' || next.because !== 'rollout') return undefined;
  const now = resolve(situation);
  // It is told this system already, or tried it.
  return now.kind === 'release' && now.release.toplevel === next.release.toplevel ? undefined : next.release;
}

function isUnderWay(course: RolloutCourse, { weaker, orders }: Pick<AheadFacts, 'weaker' | 'orders'>): boolean {
  switch (course.state) {
    case 'WAITING_APPROVAL':
      return weaker !== undefined && (weaker.length === 0 || (!isFirstChanging(course) && !hasNewLoosening({ weaker, orders })));
    case 'READY':
    case 'ROLLING':
    case 'SOAKING':
      return true;
    case 'NEXT':
    case 'PAUSED':
    case 'COMPLETE':
    case 'ABORTED':
    case 'SUPERSEDED':
      return false;
  }
}
