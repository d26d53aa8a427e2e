import { missingApprovals, type MissingApprovals } from './approvals.ts';
import type { RolloutCourse } from './course.ts';
import { gatesOf } from './decide.ts';
import type { RolloutFacts } from './facts.ts';
import { countRing, neededVerified, type RingCounts } from './gate.ts';
import { boundGroups, untriedGroups, type UntriedGroup } from './groups.ts';

/** `current`: where the rollout is, or where it ended. */
export const RING_STATES = ['passed', 'current', 'to-come'] as const;
export type RingState = (typeof RING_STATES)[number];

/** One ring of a rollout, as people look at it. */
export interface RingOverview {
  readonly name: string;
  readonly state: RingState;
  readonly counts: RingCounts;
  /** So many hosts must be verified for its gate. */
  readonly needed: number;
  /** Of the last ring: one host of each of these must be verified, too. */
  readonly untried: readonly UntriedGroup[];
  readonly soakMs: number;
  /** While it soaks. */
  readonly soakUntil: number | undefined;
  /** The approvals that it still needs, or will need. */
  readonly missingApprovals: MissingApprovals | undefined;
}

/** The rings of a rollout, from what its decisions are made from. */
export function overviewOfRings(course: RolloutCourse, facts: RolloutFacts): readonly RingOverview[] {
  const byRing = Map.groupBy(facts.hosts, ({ ring }) => ring);
  return facts.policy.rings.map(({ name }, ring) => {
    const state = stateOfRing(course, ring);
    const counts = countRing(byRing.get(ring) ?? []);
    const gates = gatesOf(facts.policy, course, ring);
    // What is after the ring that it is at does not come first: somebody of that ring is expected to prove it.
    const at = { ring, provedRing: course.provedRing ?? course.ring };
    return {
      name,
      state,
      counts,
      needed: neededVerified(gates, counts),
      untried: state === 'passed' || ring + 1 < facts.policy.rings.length ? [] : boundGroups(untriedGroups(facts.hosts)),
      soakMs: gates.soakMs,
      soakUntil: state === 'current' && course.state === 'SOAKING' && facts.orders.hotfix === undefined ? course.since + gates.soakMs : undefined,
      missingApprovals: state === 'passed' ? undefined : missingApprovals(at, facts),
    };
  });
}

function stateOfRing({ state, ring: at }: RolloutCourse, ring: number): RingState {
  if (state === 'COMPLETE' || ring < at) return 'passed';
  return ring === at ? 'current' : 'to-come';
}
