import { hasApprovals, isRingPromoted, ringIn, type HostName, type ReleaseRef } from '@floe/model';
import type { FleetHost, PolicedRollout, Revision, StorePart } from '@floe/store';

export interface PastApprovalsDeps {
  readonly store: StorePart<{ rollouts: 'ofRevision' | 'completeBefore' }>;
}

/** What is asked of a rollout. */
type Asked = Pick<PolicedRollout, 'revisionId' | 'policy' | 'rings' | 'state' | 'weaker' | 'unreadable'>;

/**
 * Somebody has to approve before the release reaches the host, by the policy of the rollout that hosts follow, or by that of the commit that is named:
 * one that waits, or was superseded before its turn came, was approved by nobody. `revision`: of that commit; undefined: none is named.
 */
export async function needsApprovals(
  deps: PastApprovalsDeps,
  each: FleetHost,
  wanted: Pick<ReleaseRef, 'id'>,
  { followed, revision }: { readonly followed: PolicedRollout | undefined; readonly revision: Revision | undefined },
): Promise<boolean> {
  const { host } = each.row;
  if (wasGiven(each, wanted)) return false;
  if (followed !== undefined && (await isApprovedFirst(deps, host, followed))) return true;
  if (revision === undefined) return false;
  const own = await deps.store.rollouts.ofRevision(revision.id);
  if (own !== undefined && hadApprovals(host, own)) return false;
  return await isApprovedFirst(deps, host, own ?? neverBegun(revision));
}

/** The host was told it, or is told it now, or a complete rollout gave it: it passed the approvals that it needed. */
function wasGiven({ situation }: FleetHost, { id }: Pick<ReleaseRef, 'id'>): boolean {
  const { directed, stable, rollout, isRingPromoted: isTold } = situation;
  return id === directed?.id || id === stable?.id || (isTold && id === rollout?.id);
}

/**
 * Its ring is told it, or was before a newer one took its place. One that was superseded while it was at that ring may have waited there. What is
 * paused, or aborted, nobody is told.
 */
function hadApprovals(host: HostName, rollout: PolicedRollout): boolean {
  if (rollout.unreadable !== undefined || rollout.waitingSince !== undefined) return false;
  const { course } = rollout;
  const last = course.state === 'SUPERSEDED' ? ({ ...course, state: 'WAITING_APPROVAL' } as const) : course;
  return isRingPromoted(last, ringIn(rollout)(host));
}

function neverBegun({ id, policy }: Revision): Asked {
  return { revisionId: id, policy, rings: undefined, state: 'NEXT', weaker: undefined };
}

/** The policy lets nothing reach the host without an approval; of two policies while the newer one is not known to be no weaker, also where the older one is lost. */
async function isApprovedFirst({ store }: PastApprovalsDeps, host: HostName, rollout: Asked): Promise<boolean> {
  if (rollout.unreadable !== undefined || hasApprovals(rollout.policy, ringIn(rollout)(host))) return true;
  if (rollout.state === 'COMPLETE' || rollout.weaker?.length === 0) return false;
  const { last, lost } = await store.rollouts.completeBefore(rollout.revisionId);
  if (lost !== undefined) return !lost.isDefault;
  return last !== undefined && hasApprovals(last.policy);
}
