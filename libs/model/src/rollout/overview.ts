import { isEvaluating, missingApprovals, peopleNotAsked, type MissingApprovals } from './approvals.ts';
import type { RolloutCourse } from './course.ts';
import { gatesOf, soakEnd, untriedIn } from './decide.ts';
import type { RolloutFacts } from './facts.ts';
import { countRing, neededVerified, type RingCounts } from './gate.ts';
import { boundGroups, type UntriedGroup } from './groups.ts';
import type { RingHost } from './progress.ts';
import type { StoredAnswer } from './probe-answer.ts';
import { answerOf, isProbing, probesOf } from './probes.ts';

/** `current`: where the rollout is, or where it ended. */
export const RING_STATES = ['passed', 'current', 'to-come'] as const;
export type RingState = (typeof RING_STATES)[number];

/** One ring of a rollout, as people look at it. */
export interface RingOverview {
  readonly name: string;
  readonly state: RingState;
  readonly counts: RingCounts;
  /** Hosts of it that are still built, and so are in no count. */
  readonly building: number;
  /** Hosts of its revision that are still evaluated: any of them may be of this ring, which waits for them. */
  readonly evaluating: number;
  /** So many hosts must be verified for its gate. */
  readonly needed: number;
  /** One host of each of these must be verified, too: of the ring that it is at, and of the last one. */
  readonly untried: readonly UntriedGroup[];
  readonly soakMs: number;
  /** While it soaks. */
  readonly soakUntil: number | undefined;
  /** While its probes are asked: each, with its last answer that counts. */
  readonly probes: readonly { readonly name: string; readonly answer: StoredAnswer | undefined }[];
  /** The approvals that it still needs, or will need. */
  readonly missingApprovals: MissingApprovals | undefined;
  /** Whose approval would change nothing, in the ring that it is at. */
  readonly notAsked: readonly string[];
  /** What an approval given now is bound to, in the ring that it is at. */
  readonly binds: string | undefined;
}

/** What came of a ring: what is kept of it. */
export type RingResult = Pick<RingOverview, 'name' | 'state' | 'counts'>;

/**
 * The hosts of each ring, in the order of the policy. In a ring that has passed those count whom the rollout proved: stable has advanced to
 * its systems since.
 */
export function hostsOfRings(
  course: RolloutCourse,
  { policy, hosts }: Pick<RolloutFacts, 'policy' | 'hosts'>,
): readonly { readonly name: string; readonly state: RingState; readonly hosts: readonly RingHost[] }[] {
  const byRing = Map.groupBy(hosts, ({ ring }) => ring);
  return policy.rings.map(({ name }, ring) => {
    const state = stateOfRing(course, ring);
    const asked = (byRing.get(ring) ?? []).map((host) => (state === 'passed' && host.wasAsked === true ? { ...host, isEligible: true } : host));
    return { name, state, hosts: asked };
  });
}

/** How far each ring is. */
export function resultsOfRings(course: RolloutCourse, facts: Pick<RolloutFacts, 'policy' | 'hosts'>): readonly RingResult[] {
  return hostsOfRings(course, facts).map(({ name, state, hosts }) => ({ name, state, counts: countRing(hosts) }));
}

/** The rings of a rollout, from what its decisions are made from. */
export function overviewOfRings(course: RolloutCourse, facts: RolloutFacts): readonly RingOverview[] {
  const isLast = (ring: number): boolean => ring + 1 >= facts.policy.rings.length;
  return resultsOfRings(course, facts).map(({ name, state, counts }, ring) => {
    const gates = gatesOf(facts.policy, course, ring);
    // What is after the ring that it is at does not come first: somebody of that ring is expected to prove it.
    const at = { ring, provedRing: course.provedRing ?? course.ring };
    return {
      name,
      state,
      counts,
      building: facts.coming?.filter((each) => each.ring === ring).length ?? 0,
      evaluating: state === 'passed' ? 0 : (facts.evaluating ?? 0),
      needed: neededVerified(gates, counts),
      untried: state === 'passed' || (state === 'to-come' && !isLast(ring)) ? [] : boundGroups(untriedIn({ ...course, ring }, facts)),
      soakMs: gates.soakMs,
      soakUntil: state === 'current' && course.state === 'SOAKING' && facts.orders.hotfix === undefined ? soakEnd(course, facts) : undefined,
      probes:
        state === 'current' && isProbing(course)
          ? probesOf(facts.policy, course).map((probe) => ({ name: probe.name, answer: answerOf(course, facts, probe.name) }))
          : [],
      // What the policy loosens is asked for once, where it is now.
      notAsked: state === 'current' ? peopleNotAsked(at, facts) : [],
      binds: state === 'current' ? facts.binds : undefined,
      // While hosts are evaluated nobody is asked: who approved then would be asked again.
      missingApprovals:
        state === 'passed' || (state === 'current' && isEvaluating(facts))
          ? undefined
          : missingApprovals(at, state === 'current' ? facts : { ...facts, weaker: [] }),
    };
  });
}

function stateOfRing({ state, ring: at }: RolloutCourse, ring: number): RingState {
  if (state === 'NEXT') return 'to-come';
  if (state === 'COMPLETE' || ring < at) return 'passed';
  return ring === at ? 'current' : 'to-come';
}
