import type { HostName } from '../brands.ts';
import type { RolloutDecision } from './decide.ts';
import type { RolloutCourse } from './course.ts';
import type { RolloutFacts } from './facts.ts';
import type { RolloutPolicy } from './policy.ts';
import { isRingPromoted } from './table.ts';

/** The rings of a rollout, with the hosts in them. */
export interface FrozenRings {
  readonly policy: Pick<RolloutPolicy, 'rings'>;
  /** As it was when the rollout began; undefined: nothing was decided yet, or there is one ring. */
  readonly rings: ReadonlyMap<HostName, number> | undefined;
}

/** The ring of each host. Before the first decision, and after it for one that joined later, it is in none yet. */
export function ringIn({ policy, rings }: FrozenRings): (host: HostName) => number {
  const first = policy.rings.length === 1 ? 0 : Number.POSITIVE_INFINITY;
  return (host) => (rings === undefined ? first : (rings.get(host) ?? Number.POSITIVE_INFINITY));
}

/**
 * The hosts that were not asked by a rollout that is complete: what it has for them is not proved, and they pass their ring's gates later. One
 * ring without approvals has nothing that they could pass over. Nor is it proved for those that were away again before they had verified it.
 */
export function unaskedIn({ course, steps }: RolloutDecision, { policy, hosts }: Pick<RolloutFacts, 'policy' | 'hosts'>): readonly HostName[] {
  const { unapproved = [] } = course;
  if (steps.at(-1)?.event === 'left') return hosts.flatMap(({ host, progress }) => (progress === 'verified' ? [] : [host]));
  const isOpen = policy.rings.length === 1 && policy.rings[0]?.approvals === undefined;
  if (isOpen) return [];
  return hosts.flatMap(({ host, ring, progress, isKept }) =>
    progress !== 'verified' && (isKept === true || unapproved.includes(ring)) ? [host] : [],
  );
}

/** Whether hosts are told to run the rollout's release: their ring is promoted. */
export function promotedIn(rollout: FrozenRings & { readonly course: RolloutCourse }): (host: HostName) => boolean {
  const ringOf = ringIn(rollout);
  return (host) => isRingPromoted(rollout.course, ringOf(host));
}
