import type { StatusText } from '@floe/model';
import type { RingView, RolloutView } from '@floe/protocol';
import { describeSuperseded } from './describe-rollout.ts';
import { isLargeFleet, progressOf } from './hosts-in-words.ts';
import { emptyRingWords, isEmptyRing, missingApprovalWords, ringParts, stillMade } from './rollout-words.ts';

/**
 * What the commit says of one ring of several. A ring is a success when its gate has passed, and stays one: hosts that are away, or that
 * failed within its limit, are told of.
 */
export function describeRing(ring: RingView, rollout: Pick<RolloutView, 'state' | 'pause' | 'rings'>, supersededBy?: string): StatusText {
  const now = describeOpenRing(ring, rollout);
  return rollout.state === 'SUPERSEDED' ? describeSuperseded(supersededBy, now) : now;
}

function describeOpenRing(ring: RingView, rollout: Pick<RolloutView, 'state' | 'pause' | 'rings'>): StatusText {
  const { state, pause, rings } = rollout;
  const { counts } = ring;
  const isUnderWay = counts.inFlight + counts.toCome > 0;
  const where = whereItsHostsAre(ring, rollout);
  if (ring.state === 'passed') return { state: 'success', description: where, isUnderWay };
  if (ring.state === 'to-come') {
    if (state === 'ABORTED') return { state: 'error', description: 'not begun: the rollout was aborted' };
    const before = rings.find((each) => each.state === 'current')?.name;
    return {
      state: 'pending',
      description: isEmptyRing(ring) ? where : `waits for ring ${before ?? 'before it'}`,
      isUnderWay: true,
    };
  }
  switch (state) {
    case 'PAUSED':
    case 'SUPERSEDED':
      return pause === null
        ? { state: 'pending', description: where }
        : { state: pause.cause === 'failures' ? 'failure' : 'pending', description: `paused: ${pause.description}` };
    case 'ABORTED':
      return { state: 'failure', description: `aborted: ${where}` };
    case 'WAITING_APPROVAL': {
      if (ring.missingApprovals === null && ring.building + ring.evaluating > 0) return { state: 'pending', description: where, isUnderWay: true };
      const missing = ring.missingApprovals === null ? '' : `: ${missingApprovalWords(ring.missingApprovals)}`;
      return { state: 'pending', description: `waits for approval${missing}` };
    }
    case 'READY':
      return { state: 'pending', description: `waits for its window: ${where}` };
    case 'SOAKING':
      return { state: 'pending', description: `soaks: ${where}`, isUnderWay: true };
    case 'NEXT':
      return { state: 'pending', description: 'waits for the rollout before it', isUnderWay: true };
    case 'ROLLING':
      return { state: 'pending', description: where, isUnderWay: true };
    case 'COMPLETE':
      return { state: 'success', description: where, isUnderWay };
  }
}

/** "2 of 3 verified, 1 away" */
function whereItsHostsAre(ring: RingView, rollout: Pick<RolloutView, 'state'>): string {
  const { counts } = ring;
  if (counts.eligible === 0) return emptyRingWords(ring);
  // Of many, what changes with every host is left out, as in the description of the whole rollout.
  const isRough = isLargeFleet(counts.eligible) && counts.inFlight + counts.toCome > 0;
  const rest = ringParts(ring, rollout).filter(({ part }) => part !== 'verified' && !(isRough && (part === 'under way' || part === 'waiting')));
  const verified = `${isRough ? progressOf(counts.verified, counts.eligible) : `${counts.verified} of ${counts.eligible}`} verified`;
  return [verified, ...rest.map(({ part, count }) => `${count} ${part}`), ...stillMade(ring)].join(', ');
}
