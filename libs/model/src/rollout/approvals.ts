import { ROLES, type Role } from '../roles.ts';
import { isFirstChanging, type Approval, type RolloutCourse, type RolloutOrders } from './course.ts';
import type { Loosening, RolloutFacts } from './facts.ts';
import type { Approvals, RolloutPolicy } from './policy.ts';

const NO_APPROVALS: Approvals = { count: 0, role: 'approver', notAuthor: false };

function isAtLeast(role: Role, lowest: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(lowest);
}

/** Who gave an approval: people count, not tokens. */
export function personOf({ by, person }: Pick<Approval, 'by' | 'person'>): string {
  return person ?? by;
}

export type ApprovalFacts = Pick<RolloutFacts, 'policy' | 'orders' | 'authors' | 'hasUnknownAuthor' | 'hasOtherAdministrator' | 'weaker' | 'binds'>;

/** It was given for what there is now. */
export function isBoundTo(approval: Pick<Approval, 'binds'>, binds: string | undefined): boolean {
  return binds === undefined || approval.binds === undefined || approval.binds === binds;
}

/** An administrator gave it for this loosening. One from before that was recorded was given for what there was then. */
function isGivenFor({ role, loosens, binds }: Approval, { id }: Loosening, now: string | undefined): boolean {
  return role === 'administrator' && (loosens === undefined ? binds !== undefined && binds === now : loosens.includes(id));
}

/** Whoever is known to have brought a commit does not approve what is weaker, where there is another administrator. */
export function mayLoosen(approval: Pick<Approval, 'by' | 'person' | 'role'>, { authors, hasOtherAdministrator }: ApprovalFacts): boolean {
  return approval.role === 'administrator' && (!hasOtherAdministrator || !authors.includes(personOf(approval)));
}

/**
 * What the policy loosens without an administrator who approved that very loosening, in any ring. Before the first ring that changes, also
 * for what there is now: whoever lets the commit begin has seen what it changes.
 */
function unapprovedLoosening(course: Pick<RolloutCourse, 'ring' | 'provedRing'>, facts: ApprovalFacts): readonly Loosening[] {
  const { weaker, orders, binds } = facts;
  if (weaker.length === 0) return weaker;
  const isFirst = isFirstChanging(course);
  const counting = orders.approvals.filter((each) => mayLoosen(each, facts) && (!isFirst || (each.ring === course.ring && isBoundTo(each, binds))));
  return weaker.filter((loosening) => !counting.some((each) => isGivenFor(each, loosening, binds)));
}

/** No administrator ever approved all that the policy loosens. */
export function hasNewLoosening({
  weaker,
  orders,
  binds,
}: Pick<ApprovalFacts, 'weaker' | 'binds'> & { readonly orders: Pick<RolloutOrders, 'approvals'> }): boolean {
  return weaker.some((loosening) => !orders.approvals.some((each) => isGivenFor(each, loosening, binds)));
}

/** What still stands between a ring and its approvals. */
export interface MissingApprovals {
  /** People who still have to approve. */
  readonly count: number;
  readonly role: Role;
  readonly notAuthor: boolean;
  /** An administrator has to approve how the policy became weaker, in these words. */
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
export function missingApprovals(course: Pick<RolloutCourse, 'ring' | 'provedRing'>, facts: ApprovalFacts): MissingApprovals | undefined {
  const { policy, orders, binds } = facts;
  const given = orders.approvals.filter((each) => each.ring === course.ring && isBoundTo(each, binds));
  const needed = approvalsOf(policy, course);
  const { count, role, notAuthor } = needed;
  const people = peopleFor(needed, given, facts);
  const missing = Math.max(0, count - people.size);
  const weaker = unapprovedLoosening(course, facts).map(({ text }) => text);
  return missing === 0 && weaker.length === 0 ? undefined : { count: missing, role, notAuthor, weaker };
}

/** What the rollout brings is not known as a whole yet. */
export function isEvaluating({ evaluating = 0 }: Pick<RolloutFacts, 'evaluating'>): boolean {
  return evaluating > 0;
}

/** As {@link missingApprovals}; while hosts are still evaluated nobody has approved anything, since nobody has seen all of it. */
export function approvalsToCome(
  course: Pick<RolloutCourse, 'ring' | 'provedRing'>,
  facts: ApprovalFacts & Pick<RolloutFacts, 'evaluating'>,
): MissingApprovals | undefined {
  return missingApprovals(course, isEvaluating(facts) ? { ...facts, orders: { ...facts.orders, approvals: [] } } : facts);
}

/** Of those who approved, and of the authors, the people whose word would change nothing, whatever their role: nobody asks them. */
export function peopleNotAsked(course: Pick<RolloutCourse, 'ring' | 'provedRing'>, facts: ApprovalFacts): readonly string[] {
  const { orders, authors, weaker, binds } = facts;
  const before = missingApprovals(course, facts);
  if (before === undefined) return [];
  return [...new Set([...orders.approvals.map(personOf), ...authors])].toSorted().filter((person) => {
    const by = { by: person, person, role: 'administrator', reason: '', at: 0, ring: course.ring, binds } as const;
    const loosens = mayLoosen(by, facts) ? weaker.map(({ id }) => id) : [];
    const after = missingApprovals(course, { ...facts, orders: { ...orders, approvals: [...orders.approvals, { ...by, loosens }] } });
    return after?.count === before.count && after.weaker.length === before.weaker.length;
  });
}

/** Its own approvals, apart from those of the first ring and of a weaker policy. */
export function isApproved(ring: number, facts: ApprovalFacts): boolean {
  const { policy, orders, binds } = facts;
  const own = policy.rings[ring]?.approvals;
  if (own === undefined) return true;
  const given = orders.approvals.filter((each) => each.ring === ring && isBoundTo(each, binds));
  return peopleFor(own, given, facts).size >= own.count;
}

/** Who of those who approved counts. */
function peopleFor(
  { role, notAuthor }: Approvals,
  given: readonly Approval[],
  { authors, hasUnknownAuthor }: Pick<ApprovalFacts, 'authors' | 'hasUnknownAuthor'>,
): ReadonlySet<string> {
  const isOther = (person: string): boolean => !hasUnknownAuthor && !authors.includes(person);
  return new Set(given.filter((each) => isAtLeast(each.role, role) && (!notAuthor || isOther(personOf(each)))).map(personOf));
}

/**
 * A ring that has begun had its approvals, for something else: then it waits for them again, and hosts that have not begun with it. Only
 * what was approved counts here: that somebody became an author or an administrator meanwhile takes no approval back. What a host that came
 * late loosens was approved by nobody.
 */
export function isNotWhatWasApproved(course: Pick<RolloutCourse, 'state' | 'ring' | 'provedRing'>, facts: ApprovalFacts): boolean {
  const hasBegun = course.state === 'READY' || course.state === 'ROLLING' || course.state === 'SOAKING';
  if (!hasBegun) return false;
  if (hasNewLoosening(facts)) return true;
  const isOfNow = facts.orders.approvals.every((each) => each.ring !== course.ring || isBoundTo(each, facts.binds));
  return !isOfNow && missingApprovals(course, facts) !== undefined && missingApprovals(course, { ...facts, binds: undefined }) === undefined;
}
