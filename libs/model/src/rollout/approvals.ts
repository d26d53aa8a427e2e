import { ROLES, type Role } from '../roles.ts';
import type { RolloutFacts } from './facts.ts';
import type { RingPolicy } from './policy.ts';

function isAtLeast(role: Role, lowest: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(lowest);
}

/** What still stands between a ring and its approvals. */
export interface MissingApprovals {
  /** People who still have to approve. */
  readonly count: number;
  readonly role: Role;
  readonly notAuthor: boolean;
  /** An administrator has to approve a policy that became weaker. */
  readonly weaker: readonly string[];
}

/** The approvals that the ring at `index` still needs; undefined: none. */
export function missingApprovals(
  index: number,
  ring: RingPolicy,
  { orders, authors, weaker }: Pick<RolloutFacts, 'orders' | 'authors' | 'weaker'>,
): MissingApprovals | undefined {
  const given = orders.approvals.filter((each) => each.ring === index);
  const isOther = (by: string): boolean => authors !== undefined && !authors.includes(by);
  const { count, role, notAuthor } = ring.approvals ?? { count: 0, role: 'approver', notAuthor: false };
  const people = new Set(given.filter((each) => isAtLeast(each.role, role) && (!notAuthor || isOther(each.by))).map(({ by }) => by));
  // Only before the first ring: whoever lets the commit begin has seen what it changes.
  const isWeaker = weaker.length > 0 && index === 0 && !given.some((each) => each.role === 'administrator' && authors?.includes(each.by) !== true);
  const missing = Math.max(0, count - people.size);
  return missing === 0 && !isWeaker ? undefined : { count: missing, role, notAuthor, weaker: isWeaker ? weaker : [] };
}

export function mayApprove(index: number, ring: RingPolicy, facts: Pick<RolloutFacts, 'orders' | 'authors' | 'weaker'>): boolean {
  return missingApprovals(index, ring, facts) === undefined;
}
