import type { HostName } from '../brands.ts';
import type { RolloutCourse } from './course.ts';
import type { RolloutPolicy } from './policy.ts';
import { promotedRings } from './table.ts';

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

/** Whether hosts are told to run the rollout's release: their ring is promoted. */
export function promotedIn(rollout: FrozenRings & { readonly course: RolloutCourse }): (host: HostName) => boolean {
  const ringOf = ringIn(rollout);
  const promoted = promotedRings(rollout.course);
  return (host) => ringOf(host) < promoted;
}
