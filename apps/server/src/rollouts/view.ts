import {
  gatesOf,
  isFrozen,
  overviewOfRings,
  storableText,
  type MissingApprovals,
  type Order,
  type RingOverview,
  type RingResult,
  type RolloutCourse,
  type RolloutFacts,
  type RolloutOrders,
  type RolloutPolicy,
} from '@floe/model';
import { MAX_ORDERS_SHOWN, MAX_WEAKER_SHOWN, type PauseView, type RingView, type RolloutOrderView, type RolloutView } from '@floe/protocol';
import { ringWindowState, timeAfterOpenMs } from '@floe/runtime';
import type { CurrentRollout } from '@floe/store';
import { describePause, untriedWords } from '@floe/views';

/** What is told of the rollout that hosts follow, besides where its hosts stand. */
export type RolloutDetail = Pick<RolloutView, 'rings' | 'pause' | 'orders' | 'freeze'>;

/** Of a rollout that hosts do not follow any more: what had come of it. */
export function viewStory(course: RolloutCourse, rings: readonly RingResult[]): RolloutDetail {
  const over = { needed: 0, untried: null, soakMs: 0, soakUntil: null, deadlineAt: null, opensAt: null, missingApprovals: null };
  return {
    rings: rings.map(({ name, state, counts }) => ({ name, state, counts: { ...counts }, ...over })),
    pause: viewPause(course),
    orders: [],
    freeze: null,
  };
}

/** From the facts of its next decision. Pure. */
export function viewDetail({ course, policy, orders }: CurrentRollout, facts: RolloutFacts, now: number): RolloutDetail {
  const freeze = isFrozen(orders, now) ? orders.freeze : undefined;
  return {
    rings: overviewOfRings(course, facts).map((ring, index) => viewRing(ring, index, { course, policy, now })),
    pause: viewPause(course),
    orders: viewOrders(orders, policy),
    freeze: freeze === undefined ? null : { by: freeze.by, reason: freeze.reason, at: freeze.at, until: freeze.until ?? null },
  };
}

interface At {
  readonly course: RolloutCourse;
  readonly policy: RolloutPolicy;
  readonly now: number;
}

function viewRing(ring: RingOverview, index: number, { course, policy, now }: At): RingView {
  const { name, state, counts, needed, untried, soakMs, soakUntil } = ring;
  const windows = policy.rings[index]?.windows ?? [];
  const { deadlineMs } = gatesOf(policy, course, index);
  const isChanging = state === 'current' && course.state === 'ROLLING';
  const window = state === 'passed' ? { isOpen: true } : ringWindowState(windows, now);
  return {
    name,
    state,
    counts: { ...counts },
    needed,
    untried: untried.length === 0 ? null : storableText(untriedWords(untried)),
    soakMs,
    soakUntil: soakUntil ?? null,
    deadlineAt: (isChanging && deadlineMs !== undefined ? timeAfterOpenMs(windows, course.ringSince, deadlineMs) : undefined) ?? null,
    opensAt: (window.isOpen ? undefined : window.changesAt) ?? null,
    missingApprovals: viewMissing(ring.missingApprovals),
  };
}

function viewMissing(missing: MissingApprovals | undefined): RingView['missingApprovals'] {
  if (missing === undefined) return null;
  return { ...missing, weaker: missing.weaker.slice(0, MAX_WEAKER_SHOWN).map((text) => storableText(text)) };
}

function viewPause({ pause, since }: RolloutCourse): PauseView | null {
  if (pause === undefined) return null;
  const failures = pause.cause === 'failures' ? pause.failures.map(({ host, reason }) => ({ host, reason })) : [];
  return { cause: pause.cause, description: storableText(describePause(pause)), failures, since };
}

function viewOrders({ resume, abort, hotfix, approvals }: RolloutOrders, { rings }: RolloutPolicy): RolloutOrderView[] {
  const view = (kind: RolloutOrderView['kind'], order: Order | undefined, ring: string | null = null): RolloutOrderView[] =>
    order === undefined ? [] : [{ kind, by: order.by, role: order.role, reason: order.reason, at: order.at, ring }];
  return [
    ...view('resume', resume),
    ...view('abort', abort),
    ...view('hotfix', hotfix),
    ...approvals.flatMap((approval) => view('approve', approval, rings[approval.ring]?.name)),
  ]
    .toSorted((one, other) => other.at - one.at)
    .slice(0, MAX_ORDERS_SHOWN);
}
