import {
  assignRings,
  isNotRolledOut,
  planRollout,
  storableText,
  windowsOfRing,
  type RolloutCourse,
  type RolloutFacts,
  type RolloutPolicy,
  type RolloutState,
  type StorePath,
} from '@floe/model';
import { MAX_PLAN_HOSTS, type RolloutPlanView } from '@floe/protocol';
import { ringWindowState } from '@floe/runtime';
import { ringHosts, type CurrentRollout, type Evaluation, type Fleet, type FleetHost, type NextOfFleet } from '@floe/store';
import { rolloutFacts } from './facts.ts';
import { waitsOf } from './next.ts';
import { viewMissing, viewNext } from './view.ts';

type Plan = Omit<RolloutPlanView, 'sha'>;

/** What is to come of the rollout that hosts follow. Undefined: there is none. Pure. */
export function viewPlan({ rollout, hosts }: Fleet, now: number): Plan | undefined {
  if (rollout === undefined) return undefined;
  const { coming, evaluating: _, ...built } = rollout;
  // As it is when all is built: the earliest there can be. What is still evaluated is not known to change.
  const those = hosts.map((each) => asReleased(each, coming?.get(each.row.host)));
  const facts = rolloutFacts(built, those, now);
  return { state: rollout.state, waits: null, rings: viewRings(rollout.course, facts, those, now), stopped: viewStopped(rollout, facts, those, now) };
}

/** A published revision that waits, with its policy and what its hosts came to. */
export interface Waiting {
  readonly next: NextOfFleet;
  readonly policy: RolloutPolicy;
  readonly evaluations: readonly Evaluation[];
}

/** Of the revision that waits, from what it was built to: nothing is stored of its rings before it begins. Pure. */
export function viewPlanOfNext(fleet: Fleet, { next, policy, evaluations }: Waiting, now: number): Plan {
  const { rollout } = fleet;
  const facts = rollout === undefined ? undefined : rolloutFacts(rollout, fleet.hosts, now);
  const there = new Map(evaluations.map((each) => [each.host, each]));
  const { ringOf } = assignRings(
    policy,
    evaluations.map(({ host, labels, ring }) => ({ host, labels: labels ?? [], ring })),
  );
  const hosts = fleet.hosts.map((each) => withRelease(each, there.get(each.row.host)));
  const of = { revisionId: next.revisionId, policy, rings: ringOf };
  const begun: RolloutFacts = {
    policy,
    hosts: ringHosts(of, hosts, now),
    windows: [],
    orders: { ...next.orders, freeze: rollout?.orders.freeze },
    probes: [],
    authors: [],
    hasUnknownAuthor: true,
    hasOtherAdministrator: true,
    weaker: [],
  };
  const course: RolloutCourse = { state: 'NEXT', ring: 0, since: now, ringSince: now, pause: undefined, provedRing: undefined };
  const { waits } = viewNext(next, waitsOf(fleet, facts, now));
  return { state: 'NEXT', waits, rings: viewRings(course, begun, hosts, now), stopped: viewStopped({ ...of, state: 'NEXT' }, begun, hosts, now) };
}

/** As it will be when the revision is the one that hosts follow; one that has nothing for the host leaves it with what it has. */
function withRelease(each: FleetHost, evaluation: Evaluation | undefined): FleetHost {
  if (evaluation === undefined || isNotRolledOut(evaluation.outcome)) return each;
  return { ...asReleased(each, evaluation.toplevel), timeZone: evaluation.timeZone };
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

function viewRings(course: RolloutCourse, facts: RolloutFacts, hosts: readonly FleetHost[], now: number): Plan['rings'] {
  const connected = new Set(hosts.filter(({ row }) => row.isConnected).map(({ row }) => row.host));
  const hostsOf = (ring: number): RolloutFacts['hosts'] => facts.hosts.filter((host) => host.ring === ring);
  const opensAt = (ring: number, at: number): number | undefined => {
    const { isOpen, changesAt } = ringWindowState(windowsOfRing(facts.policy.rings[ring]?.windows ?? [], hostsOf(ring)), at);
    return isOpen ? at : changesAt;
  };
  return planRollout(course, facts, { now, opensAt }).map((ring) => ({
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
