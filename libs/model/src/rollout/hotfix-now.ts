import type { RolloutCourse } from './course.ts';
import type { RolloutFacts } from './facts.ts';
import { missingPeople } from './second-person.ts';

export type NowFacts = Pick<RolloutFacts, 'policy' | 'orders' | 'weaker'>;

/**
 * How many administrators still have to ask for `hotfix --now` before it counts; undefined: nobody has asked. One is enough where nobody
 * has to approve anything; else it takes two people.
 */
export function missingForNow({ policy, orders, weaker }: NowFacts): number | undefined {
  const asked = orders.hotfix?.now ?? [];
  if (asked.length === 0) return undefined;
  const hasApprovals = weaker.length > 0 || policy.rings.some(({ approvals }) => (approvals?.count ?? 0) > 0);
  return missingPeople(asked, hasApprovals ? 2 : 1);
}

/** The ring at `course` is left without its success gate. Never the last one: its gate is what completes the rollout. */
export function isPassedNow({ ring, provedRing }: Pick<RolloutCourse, 'ring' | 'provedRing'>, facts: NowFacts): boolean {
  return provedRing === undefined && ring + 1 < facts.policy.rings.length && missingForNow(facts) === 0;
}
