import { ROLES, type Role } from '../roles.ts';
import { isFirstChanging, type Approval, type RolloutCourse } from './course.ts';
import type { RolloutFacts } from './facts.ts';
import type { Approvals, RolloutPolicy } from './policy.ts';

const NO_APPROVALS: Approvals = { count: 0, role: 'approver', notAuthor: false };

function isAtLeast(role: Role, lowest: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(lowest);
}

/** Who gave an approval: people count, not tokens. */
export function personOf({ by, person }: Pick<Approval, 'by' | 'person'>): string {
  return person ?? by;
}

export type ApprovalFacts = Pick<RolloutFacts, 'policy' | 'orders' | 'authors' | 'hasOtherAdministrator' | 'weaker' | 'binds'>;

/** It was given for what there is now. */
export function isBoundTo(approval: Pick<Approval, 'binds'>, binds: string | undefined): boolean {
  return binds === undefined || approval.binds === undefined || approval.binds === binds;
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

/** The approvals that a ring needs. The first ring that changes needs those of the first ring, too: a commit must not get past them. */
export function approvalsOf({ rings }: RolloutPolicy, course: Pick<RolloutCourse, 'ring' | 'provedRing'>): Approvals {
  const own = rings[course.ring]?.approvals ?? NO_APPROVALS;
  const first = (isFirstChanging(course) ? rings[0]?.approvals : undefined) ?? NO_APPROVALS;
  return {
    count: Math.max(own.count, first.count),
    role: isAtLeast(own.role, first.role) ? own.role : first.role,
    notAuthor: own.notAuthor || first.notAuthor,
  };
}

/** Somebody has to approve before a commit reaches the ring, there or in a ring before it. */
export function hasApprovals({ rings }: Pick<RolloutPolicy, 'rings'>, ring = rings.length): boolean {
  return rings.slice(0, ring + 1).some(({ approvals }) => (approvals?.count ?? 0) > 0);
}

/** The approvals that the ring of `course` still needs; undefined: none. */
export function missingApprovals(
  course: Pick<RolloutCourse, 'ring' | 'provedRing'>,
  { policy, orders, authors, hasOtherAdministrator, weaker, binds }: ApprovalFacts,
): MissingApprovals | undefined {
  const given = orders.approvals.filter((each) => each.ring === course.ring && isBoundTo(each, binds));
  const needed = approvalsOf(policy, course);
  const { count, role, notAuthor } = needed;
  const people = peopleFor(needed, given, authors);
  // Only before the first ring that changes: whoever lets the commit begin has seen what it changes.
  const mayLoosen = given.some((each) => each.role === 'administrator' && (!hasOtherAdministrator || authors?.includes(personOf(each)) !== true));
  const isWeaker = weaker.length > 0 && isFirstChanging(course) && !mayLoosen;
  const missing = Math.max(0, count - people.size);
  return missing === 0 && !isWeaker ? undefined : { count: missing, role, notAuthor, weaker: isWeaker ? weaker : [] };
}

/** Its own approvals, apart from those of the first ring and of a weaker policy. */
export function isApproved(ring: number, { policy, orders, authors, binds }: ApprovalFacts): boolean {
  const own = policy.rings[ring]?.approvals;
  if (own === undefined) return true;
  const given = orders.approvals.filter((each) => each.ring === ring && isBoundTo(each, binds));
  return peopleFor(own, given, authors).size >= own.count;
}

/** Who of those who approved counts. */
function peopleFor({ role, notAuthor }: Approvals, given: readonly Approval[], authors: ApprovalFacts['authors']): ReadonlySet<string> {
  const isOther = (person: string): boolean => authors !== undefined && !authors.includes(person);
  return new Set(given.filter((each) => isAtLeast(each.role, role) && (!notAuthor || isOther(personOf(each)))).map(personOf));
}

/**
 * A ring that has begun had its approvals, for something else: then it waits for them again, and hosts that have not begun with it. Only
 * what was approved counts here: that somebody became an author or an administrator meanwhile takes no approval back.
 */
export function isNotWhatWasApproved(course: Pick<RolloutCourse, 'state' | 'ring' | 'provedRing'>, facts: ApprovalFacts): boolean {
  const hasBegun = course.state === 'READY' || course.state === 'ROLLING' || course.state === 'SOAKING';
  const isOfNow = facts.orders.approvals.every((each) => each.ring !== course.ring || isBoundTo(each, facts.binds));
  if (!hasBegun || isOfNow) return false;
  return missingApprovals(course, facts) !== undefined && missingApprovals(course, { ...facts, binds: undefined }) === undefined;
}
