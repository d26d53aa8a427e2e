import {
  failuresSince,
  gatesOf,
  isFrozen,
  missingForNow,
  MAX_FAILURES,
  MAX_LABEL_STOPS,
  overviewOfRings,
  pausedFailures,
  standingStops,
  storableText,
  windowsOfRing,
  type CommitSha,
  type HostName,
  type LabelStop,
  type MissingApprovals,
  type Order,
  type RingOverview,
  type RingResult,
  type RolloutCourse,
  type RolloutFacts,
  type RolloutFailure,
  type RolloutOrders,
  type RolloutPolicy,
  type StorePath,
} from '@floe/model';
import {
  MAX_NOT_ASKED_SHOWN,
  MAX_ORDERS_SHOWN,
  MAX_WEAKER_SHOWN,
  type PauseView,
  type RingView,
  type RolloutOrderView,
  type RolloutView,
} from '@floe/protocol';
import { ringWindowState, timeAfterOpenMs } from '@floe/runtime';
import type { CurrentRollout, FleetHost, NextOfFleet } from '@floe/store';
import { describePause, probeWords, untriedWords } from '@floe/views';
import { judgeRetry } from '../decisions.ts';
import type { Waits } from './next.ts';
import { viewRevert } from './revert.ts';
import { seenApproval } from './seen-approval.ts';

/** What is told of the rollout that hosts follow, besides where its hosts stand. */
export type RolloutDetail = Pick<RolloutView, 'rings' | 'pause' | 'orders' | 'freeze' | 'stops' | 'revert' | 'waits'>;

/** Of a rollout that hosts do not follow any more: what had come of it. */
export function viewStory(course: RolloutCourse, rings: readonly RingResult[]): RolloutDetail {
  const over = {
    needed: 0,
    untried: null,
    building: 0,
    evaluating: 0,
    downloaded: 0,
    soakMs: 0,
    soakUntil: null,
    deadlineAt: null,
    opensAt: null,
    probes: [],
    missingApprovals: null,
  };
  return {
    rings: rings.map(({ name, state, counts }) => ({ name, state, counts: { ...counts }, ...over })),
    pause: viewPause(course, { later: [] }),
    orders: [],
    freeze: null,
    stops: [],
    revert: null,
    waits: null,
  };
}

/** When a rollout is looked at, and what only this process knows then. */
export interface Looked {
  readonly now: number;
  /** What hosts say that they have downloaded ahead. */
  readonly staged: ReadonlyMap<HostName, StorePath>;
  /** All hosts. */
  readonly hosts: readonly FleetHost[];
  /** The ends of the logs of the failures that paused it. */
  readonly logs?: ReadonlyMap<HostName, string> | undefined;
}

/** From the facts of its next decision. Pure. */
export function viewDetail(rollout: CurrentRollout, facts: RolloutFacts, { now, staged, hosts, logs }: Looked): RolloutDetail {
  const { course, policy, orders } = rollout;
  // Until its first step has frozen who is in which ring, every host seems to be in the last one.
  const isKnown = rollout.rings !== undefined || policy.rings.length < 2;
  return {
    rings: (isKnown ? overviewOfRings(course, facts) : []).map((ring, index) => ({
      ...viewRing(ring, index, { course, policy, hosts: facts.hosts, now }),
      downloaded: isToBegin(ring, course) ? countDownloaded(facts, index, staged) : 0,
    })),
    pause: viewPause(course, { later: laterFailures(course, facts), logs, mayRetry: retriesIn(hosts, now) }),
    orders: viewOrders(orders, policy, missingForNow(facts)),
    waits: null,
    freeze: viewFreeze(orders, now),
    stops: viewStops(standingStops(orders, now)),
    revert: viewRevert(rollout, hosts),
  };
}

/** Of a revision that waits. Undefined: it is about to begin. Pure. */
export function viewNext({ orders, after }: NextOfFleet, waits: Waits | undefined): RolloutDetail {
  return {
    rings: [],
    pause: null,
    freeze: null,
    stops: [],
    revert: null,
    orders: viewOrders(orders, { rings: [] }),
    waits: viewWaits(waits, after),
  };
}

/** `after`: the commit whose rollout hosts follow. */
export function viewWaits(waits: Waits | undefined, after: CommitSha | undefined): NonNullable<RolloutDetail['waits']> {
  return { for: waits?.for ?? 'train', after: after ?? null, until: waits?.for === 'train' ? waits.until : null };
}

/** Its hosts are not told yet. */
function isToBegin({ state }: RingOverview, course: RolloutCourse): boolean {
  return state === 'to-come' || (state === 'current' && (course.state === 'WAITING_APPROVAL' || course.state === 'READY'));
}

function countDownloaded({ hosts }: RolloutFacts, index: number, staged: Looked['staged']): number {
  return hosts.filter(({ host, ring, toplevel, isEligible }) => ring === index && isEligible && staged.get(host) === toplevel).length;
}

export function viewFreeze(orders: RolloutOrders, now: number): RolloutDetail['freeze'] {
  const freeze = isFrozen(orders, now) ? orders.freeze : undefined;
  return freeze === undefined ? null : { by: freeze.by, reason: freeze.reason, at: freeze.at, until: freeze.until ?? null };
}

export function viewStops(stops: readonly LabelStop[] = []): RolloutDetail['stops'] {
  return stops.slice(0, MAX_LABEL_STOPS).map(({ label, by, reason, at, until }) => ({ label, by, reason, at, until: until ?? null }));
}

interface At {
  readonly course: RolloutCourse;
  readonly policy: RolloutPolicy;
  readonly hosts: RolloutFacts['hosts'];
  readonly now: number;
}

function viewRing(ring: RingOverview, index: number, { course, policy, hosts, now }: At): Omit<RingView, 'downloaded'> {
  const { name, state, counts, building, evaluating, needed, untried, soakMs, soakUntil, probes } = ring;
  const windows = windowsOfRing(
    policy.rings[index]?.windows ?? [],
    hosts.filter((host) => host.ring === index),
  );
  const { deadlineMs } = gatesOf(policy, course, index);
  const isChanging = state === 'current' && course.state === 'ROLLING';
  const window = state === 'passed' ? { isOpen: true } : ringWindowState(windows, now);
  return {
    name,
    state,
    counts: { ...counts },
    building,
    evaluating,
    needed,
    untried: untried.length === 0 ? null : storableText(untriedWords(untried)),
    soakMs,
    soakUntil: soakUntil ?? null,
    deadlineAt: (isChanging && deadlineMs !== undefined ? timeAfterOpenMs(windows, course.ringSince, deadlineMs) : undefined) ?? null,
    opensAt: (window.isOpen ? undefined : window.changesAt) ?? null,
    probes: probes.map(viewProbe),
    missingApprovals: viewMissing(ring.missingApprovals, { ...ring, name }),
  };
}

function viewProbe({ name, answer }: RingOverview['probes'][number]): RingView['probes'][number] {
  return { name, verdict: answer?.verdict ?? null, text: storableText(probeWords(name, answer)) };
}

export function viewMissing(
  missing: MissingApprovals | undefined,
  current?: Pick<RingOverview, 'name' | 'notAsked' | 'binds'>,
): RingView['missingApprovals'] {
  if (missing === undefined) return null;
  const notAsked = (current?.notAsked ?? []).slice(0, MAX_NOT_ASKED_SHOWN).map((person) => storableText(person, 64));
  return {
    ...missing,
    weaker: missing.weaker.slice(0, MAX_WEAKER_SHOWN).map((text) => storableText(text)),
    notAsked,
    seen: current?.binds === undefined ? undefined : seenApproval(current.binds, current.name),
  };
}

interface PauseNow {
  readonly later: PauseView['later'];
  readonly logs?: Looked['logs'];
  readonly mayRetry?: (failure: RolloutFailure) => boolean;
}

function viewPause({ pause, since }: RolloutCourse, { later, logs, mayRetry = () => false }: PauseNow): PauseView | null {
  if (pause === undefined) return null;
  const failures = (pausedFailures(pause)?.failures ?? []).map((failure) => {
    const { host, reason } = failure;
    return { host, reason, log: logs?.get(host) ?? null, mayRetry: mayRetry(failure) };
  });
  return { cause: pause.cause, description: storableText(describePause(pause)), failures, later, since };
}

/** Whether `floe retry` would have the host try that system, and not another one or none. */
function retriesIn(hosts: readonly FleetHost[], now: number): (failure: RolloutFailure) => boolean {
  return ({ host, toplevel }) => {
    const found = hosts.find(({ row }) => row.host === host);
    const decision = found && judgeRetry(found.row, found.desired, now);
    return decision?.kind === 'retry' && decision.toplevel === toplevel;
  };
}

function laterFailures(course: RolloutCourse, facts: RolloutFacts): PauseView['later'] {
  return failuresSince(course, facts)
    .slice(0, MAX_FAILURES)
    .map(({ host, failure }) => ({ host, reason: storableText(failure ?? '') }));
}

/** `missing`: people who still have to ask for `--now`; undefined: not known yet. */
function viewOrders(
  { resume, abort, hotfix, approvals }: RolloutOrders,
  { rings }: Pick<RolloutPolicy, 'rings'>,
  missing?: number,
): RolloutOrderView[] {
  const view = (kind: RolloutOrderView['kind'], order: Order | undefined, ring: string | null = null, isRevert = false): RolloutOrderView[] =>
    order === undefined ? [] : [{ kind, by: order.by, role: order.role, reason: order.reason, at: order.at, isRevert, ring }];
  return [
    ...view('resume', resume),
    ...view('abort', abort, null, abort?.isRevert),
    // Whoever asked for `--now` first may be the one who made it a hotfix.
    ...(hotfix?.now?.some(({ at, by }) => at === hotfix.at && by === hotfix.by) === true ? [] : view('hotfix', hotfix)),
    ...(hotfix?.now ?? []).flatMap((word) =>
      view('hotfix', word).map((each) => ({ ...each, now: missing === 0 ? ('counts' as const) : ('waits' as const) })),
    ),
    ...approvals.flatMap((approval) => view('approve', approval, rings[approval.ring]?.name)),
  ]
    .toSorted((one, other) => other.at - one.at)
    .slice(0, MAX_ORDERS_SHOWN);
}
