import {
  assignRings,
  planRollout,
  storableText,
  windowsOfRing,
  type Loosening,
  type PlanClock,
  type PlanHold,
  type RolloutCourse,
  type RolloutFacts,
  type RolloutOrders,
  type RolloutPolicy,
  type RolloutState,
  type StorePath,
} from '@floe/model';
import { MAX_PLAN_HOSTS, type RolloutPlanView } from '@floe/protocol';
import { ringWindowState } from '@floe/runtime';
import { ringHosts, type CurrentRollout, type Evaluation, type Fleet, type FleetHost } from '@floe/store';
import { rolloutFacts } from './facts.ts';
import { viewMissing } from './view.ts';

export type Plan = Omit<RolloutPlanView, 'sha' | 'unpublished'>;

/** What is to come of the rollout that hosts follow. Undefined: there is none. Pure. */
export function viewPlan({ rollout, hosts }: Fleet, now: number): Plan | undefined {
  if (rollout === undefined) return undefined;
  const { coming, evaluating: _, ...built } = rollout;
  // As it is when all is built: the earliest there can be. What is still evaluated is not known to change.
  const those = hosts.map((each) => asReleased(each, coming?.get(each.row.host)));
  const facts = rolloutFacts(built, those, now);
  return {
    state: rollout.state,
    waits: null,
    rings: viewRings(rollout.course, facts, those, { now }),
    stopped: viewStopped(rollout, facts, those, now),
  };
}

/** A revision whose rollout has not begun, with its policy and what its hosts came to by now. */
export interface NotBegun {
  readonly revisionId: string;
  readonly policy: RolloutPolicy;
  readonly evaluations: readonly Evaluation[];
  /** What people asked of it. */
  readonly orders: RolloutOrders;
  /** How its policy is weaker than the one before. */
  readonly weaker: readonly Loosening[];
  /** Why nobody can say when it begins; undefined: as soon as its hosts are built. */
  readonly heldBefore: PlanHold | undefined;
}

/**
 * Of a revision whose rollout has not begun, from what its hosts came to: nothing is stored of its rings before it begins. A host that is still
 * evaluated is in no ring. Pure.
 */
export function viewPlanBefore(fleet: Fleet, revision: NotBegun, now: number): Pick<Plan, 'rings' | 'stopped'> {
  const { revisionId, policy, evaluations, orders, weaker, heldBefore } = revision;
  const there = new Map(evaluations.flatMap((each) => (hasSystem(each) ? [[each.host, each] as const] : [])));
  const { ringOf } = assignRings(
    policy,
    [...there.values()].map(({ host, labels, ring }) => ({ host, labels: labels ?? [], ring })),
  );
  const hosts = fleet.hosts.map((each) => withRelease(each, there.get(each.row.host)));
  const of = { revisionId, policy, rings: ringOf };
  const begun: RolloutFacts = {
    policy,
    hosts: ringHosts(of, hosts, now),
    windows: [],
    orders: { ...orders, freeze: fleet.rollout?.orders.freeze ?? orders.freeze },
    probes: [],
    authors: [],
    hasUnknownAuthor: true,
    hasOtherAdministrator: true,
    weaker,
  };
  const course: RolloutCourse = { state: 'NEXT', ring: 0, since: now, ringSince: now, pause: undefined, provedRing: undefined };
  return {
    rings: viewRings(course, begun, hosts, { now, heldBefore }),
    stopped: viewStopped({ ...of, state: 'NEXT' }, begun, hosts, now),
  };
}

/** Any other host is in no rollout of the revision, and keeps what it has. */
function hasSystem({ outcome, toplevel }: Evaluation): boolean {
  return toplevel !== undefined && (outcome === 'CHANGED' || outcome === 'NEW' || outcome === 'UNCHANGED');
}

/** As it will be when the revision is the one that hosts follow. */
function withRelease(each: FleetHost, evaluation: Evaluation | undefined): FleetHost {
  const own = { ...each, situation: { ...each.situation, rollout: undefined } };
  return evaluation === undefined ? own : { ...asReleased(own, evaluation.toplevel), timeZone: evaluation.timeZone };
}

/** With a release of this system, for a plan. */
function asReleased(each: FleetHost, toplevel: StorePath | undefined): FleetHost {
  if (toplevel === undefined) return each;
  const { host, acceptedSequence } = each.row;
  return { ...each, situation: { ...each.situation, rollout: { id: '', host, sequence: acceptedSequence, toplevel } } };
}

/** Who would change, were it not for the pause of a label: their ring goes on without them, so that no ring's times are theirs. */
function viewStopped(
  { state, ...of }: Pick<CurrentRollout, 'revisionId' | 'policy' | 'rings'> & { readonly state: RolloutState },
  facts: RolloutFacts,
  hosts: readonly FleetHost[],
  now: number,
): Plan['stopped'] {
  if (state === 'ABORTED' || state === 'SUPERSEDED') return [];
  const asked = new Set(facts.hosts.filter(({ isEligible }) => isEligible).map(({ host }) => host));
  const free = hosts.map((each) => ({ ...each, situation: { ...each.situation, stops: [] } }));
  const kept = new Set(ringHosts(of, free, now).flatMap(({ host, isEligible }) => (isEligible && !asked.has(host) ? [host] : [])));
  const stops = hosts.flatMap(({ row: { host }, situation }) => (kept.has(host) ? (situation.stops ?? []).map((stop) => ({ ...stop, host })) : []));
  return [...Map.groupBy(stops, ({ label }) => label)].flatMap(([label, those]) => {
    const [first] = those;
    if (first === undefined) return [];
    const names = those.map(({ host }) => host).toSorted();
    return [{ label, by: storableText(first.by, 200), until: first.until ?? null, hosts: names.slice(0, MAX_PLAN_HOSTS), count: names.length }];
  });
}

function viewRings(
  course: RolloutCourse,
  facts: RolloutFacts,
  hosts: readonly FleetHost[],
  { now, heldBefore }: Pick<PlanClock, 'now' | 'heldBefore'>,
): Plan['rings'] {
  const connected = new Set(hosts.filter(({ row }) => row.isConnected).map(({ row }) => row.host));
  const hostsOf = (ring: number): RolloutFacts['hosts'] => facts.hosts.filter((host) => host.ring === ring);
  const opensAt = (ring: number, at: number): number | undefined => {
    const { isOpen, changesAt } = ringWindowState(windowsOfRing(facts.policy.rings[ring]?.windows ?? [], hostsOf(ring)), at);
    return isOpen ? at : changesAt;
  };
  return planRollout(course, facts, { now, opensAt, heldBefore }).map((ring) => ({
    name: ring.name,
    hosts: ring.hosts.slice(0, MAX_PLAN_HOSTS),
    eligible: ring.hosts.length,
    connected: ring.hosts.filter((host) => connected.has(host)).length,
    gates: ring.gates.map((text) => storableText(text)),
    missingApprovals: viewMissing(ring.missingApprovals),
    isSkipped: ring.isSkipped,
    beginsAt: ring.beginsAt ?? null,
    passesAt: ring.passesAt ?? null,
    held: ring.held ?? null,
  }));
}
