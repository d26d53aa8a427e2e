import type { Forge } from '@floe/forge';
import { isDeepStrictEqual } from 'node:util';
import {
  assignRings,
  decideRollout,
  gatesOf,
  hostsAsLeft,
  isEndedRollout,
  promotedIn,
  resolve,
  unaskedIn,
  renamedRings,
  type HostName,
  type Loosening,
  type RolloutDecision,
  type RolloutFacts,
  type RolloutPolicy,
  type RolloutStep,
} from '@floe/model';
import type { Clock, Logger } from '@floe/runtime';
import {
  resolveAgain,
  takesPart,
  type CurrentRollout,
  type Evaluation,
  type Fleet,
  type FleetHost,
  type LeftHosts,
  type Rollout,
  type PlainStore,
  type StorePart,
} from '@floe/store';
import { namesFrom } from '../names-from.ts';
import { describeStep } from './describe-step.ts';
import { KnownFacts, rolloutFacts } from './facts.ts';
import type { Probes } from '../probes/probes.ts';
import { judgeNext } from './next.ts';
import { areOpen, readEvaluations, readInForce, readOnce, weakerThanBefore, type PolicyStore } from './policy-before.ts';

export interface RolloutEngineDeps {
  readonly store: StorePart<{
    rollouts: 'save' | 'completeBefore' | 'authorsOf';
    revisions: 'evaluationsOf';
  }> &
    Pick<PlainStore, 'decide'>;
  /** Where the repository is: who pushed is known by what this forge told. */
  readonly forge: Forge;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Asks what is due, and says in how many ms more is. */
  readonly probes?: Pick<Probes, 'look'> | undefined;
  /** Something happened to the current rollout. */
  readonly onStep?: (rollout: Rollout, step: RolloutStep, policy: RolloutPolicy) => void;
}

/** What a decision comes to. */
export interface RolloutTick {
  /** As it is after the decision, with the answers of `resolve()` for it. */
  readonly fleet: Fleet;
  readonly isMoved: boolean;
  /** When time alone may bring the next decision, in ms; undefined: it does not. */
  readonly dueInMs: number | undefined;
}

/**
 * Takes the current rollout as far as the facts let it. Whoever looks at the fleet calls it with what was read, so that the same look
 * decides about the rollout and about each host. Only this writes a rollout's course, but for its begin and its supersession, which
 * belong to the publication of a revision.
 */
export class RolloutEngine {
  readonly #deps: RolloutEngineDeps;
  readonly #known = new KnownFacts();

  constructor(deps: RolloutEngineDeps) {
    this.#deps = deps;
  }

  /** `fleet`: all hosts of the repository. */
  async tick(fleet: Fleet): Promise<RolloutTick> {
    const { store, clock, logger, probes, onStep } = this.#deps;
    const { rollout } = fleet;
    if (await this.#beginNext(fleet)) return { fleet: { rollout: undefined, hosts: [] }, isMoved: true, dueInMs: 0 };
    // Of a row that cannot be read nothing is decided: it stands still until a newer revision comes.
    if (rollout === undefined || rollout.unreadable !== undefined) return { fleet, isMoved: false, dueInMs: undefined };
    const now = clock.now();
    const { policy } = rollout;
    const before = readOnce(store);
    const rings = await this.#ringsOf(rollout, fleet.hosts, before);
    // A host that joins may have moved: what it loosens is asked for then.
    const known = rings === rollout.rings ? rollout.weaker : undefined;
    const compared = known ?? (await weakerThanBefore(before, rollout));
    const { decision, facts, weaker, left } = await this.#decide({ ...rollout, rings, weaker: compared }, { hosts: fleet.hosts, before, now });
    const { course, steps } = decision;
    const authors = await this.#authorsOf({ ...rollout, course }, weaker);
    // Where it has come may be where it holds up no newer one any more.
    const dueInMs =
      fleet.next !== undefined && steps.length > 0 ? 0 : earliest(dueIn(course, policy, now), probes?.look({ ...rollout, course }, facts, now));
    const isGrown = rings !== rollout.rings || weaker !== rollout.weaker || authors !== rollout.authors;
    // Times from a clock that was ahead are stored as they are now: else they would be now at each look.
    const isCorrected = course !== rollout.course;
    if (steps.length === 0 && !isGrown && !isCorrected) return { fleet, isMoved: false, dueInMs };
    const said = { rings, weaker, authors: authors ?? (rollout.authors === undefined ? undefined : ('unknown' as const)) };
    const decided = { id: rollout.id, version: rollout.version, course, ...said, unasked: unaskedIn(decision, facts), left };
    // Another server decided at the same time, or the commit is evaluated again: the next look sees what came of that.
    const details = steps.map((step) => describeStep(step, policy));
    const entries = steps.flatMap(({ event }, index) => {
      const detail = details[index];
      return detail === undefined ? [] : [{ at: now, actor: 'floe', action: `rollout-${event}`, detail }];
    });
    const isSaved = await store.rollouts.save(decided, now, entries);
    const moved: CurrentRollout = { ...rollout, course, rings, weaker, authors, state: course.state, version: rollout.version + 1 };
    // What was decided is not so, but what it holds back is not told either: the other server may have decided the same.
    if (!isSaved) return { fleet: { rollout, hosts: heldBack(fleet.hosts, moved) }, isMoved: false, dueInMs };
    for (const [index, step] of steps.entries()) {
      const detail = details[index];
      logger.info('rollout', { rollout: rollout.id, event: step.event, state: step.to.state, ring: policy.rings[step.to.ring]?.name, detail });
      onStep?.(moved, step, policy);
    }
    return { fleet: { rollout: moved, hosts: resolveAgain(fleet.hosts, moved) }, isMoved: true, dueInMs };
  }

  /** `weaker`: as it is known by the end of the decision. */
  async #decide(
    rollout: CurrentRollout & { readonly weaker: readonly Loosening[] },
    { hosts, before, now }: { readonly hosts: readonly FleetHost[]; readonly before: PolicyStore; readonly now: number },
  ): Promise<Decided> {
    const decide = (weaker: readonly Loosening[]): Omit<Decided, 'left'> => {
      const facts = rolloutFacts({ ...rollout, weaker }, hosts, now, this.#known);
      return { facts, weaker, decision: decideRollout(rollout.course, facts, now) };
    };
    const first = decide(rollout.weaker);
    if (!isCompleted(first.decision)) return { ...first, left: undefined };
    // What it leaves is what later commits are compared with: also the place of a host that is evaluated by now, and not built yet.
    const weaker = await weakerThanBefore(before, rollout);
    const decided = isDeepStrictEqual(weaker, first.weaker) ? first : decide(weaker);
    return { ...decided, left: isCompleted(decided.decision) ? await leftBy(rollout, before) : undefined };
  }

  /** The revision that waits begins as soon as nothing is finished first: then all that was read is of the rollout before it. */
  async #beginNext(fleet: Fleet): Promise<boolean> {
    const { rollout, next } = fleet;
    if (next === undefined) return false;
    const { store, clock, logger } = this.#deps;
    const now = clock.now();
    const facts = rollout === undefined ? undefined : rolloutFacts(rollout, fleet.hosts, now, this.#known);
    if (judgeNext(rollout, facts, next, now).kind === 'waits') return false;
    const entry = { at: now, actor: 'floe', action: 'rollout-begun', subject: next.sha, detail: 'begins, after it waited for the rollout before it' };
    const hasBegun = await store.decide(async ({ rollouts }) => {
      const result = await rollouts.begin(next, now);
      return { result, entries: result ? [entry] : [] };
    });
    if (hasBegun) logger.info('rollout', { rollout: next.id, event: 'begun', commit: next.sha });
    return hasBegun;
  }

  /**
   * Only where somebody asks who the authors are. While that is not known it is looked at again: a webhook may come after the commit. What
   * is known is used by the next decision, which reads whose logins those are.
   */
  async #authorsOf({ revisionId, policy, course, authors }: CurrentRollout, weaker: readonly Loosening[]): Promise<CurrentRollout['authors']> {
    const isAsked = weaker.length > 0 || policy.rings.some(({ approvals }) => approvals?.notAuthor === true);
    const ring = policy.rings[course.ring];
    // A ring that was not asked in earlier rollouts has more authors than the others.
    const isKnown = authors?.ring === course.ring && !authors.isUntold;
    if (isKnown || !isAsked || isEndedRollout(course.state) || ring === undefined) return authors;
    const found = await this.#deps.store.rollouts.authorsOf(revisionId, this.#deps.forge, { index: course.ring, name: ring.name });
    // Another object would be stored as news at each look.
    return isDeepStrictEqual(found, authors) ? authors : found;
  }

  /**
   * The ring of each host, frozen when the rollout begins. A host that came later joins the first ring that has not passed yet, if its
   * own is one of those that have. Undefined: there is one ring, without anything that a host could loosen by how it joins.
   */
  async #ringsOf(rollout: CurrentRollout, hosts: readonly FleetHost[], before: PolicyStore): Promise<CurrentRollout['rings']> {
    const { policy, rings, course, weaker = [] } = rollout;
    if (areOpen(policy) && weaker.length === 0) return rings;
    const isIn = ({ row, situation }: FleetHost): boolean => situation.rollout !== undefined || rollout.coming?.has(row.host) === true;
    const missing = hosts.filter((each) => isIn(each) && rings?.has(each.row.host) !== true);
    if (rings !== undefined && missing.length === 0) return rings;
    const evaluations = new Map((await readEvaluations(before, rollout.revisionId)).map((each) => [each.host, each]));
    const candidates = missing.map(({ row: { host } }) => ({ host, labels: evaluations.get(host)?.labels ?? [], ring: evaluations.get(host)?.ring }));
    const { ringOf } = assignRings(policy, candidates);
    // After the end each asks its own ring, and that one all that it asked of others.
    const first = rings === undefined || course.state === 'COMPLETE' ? 0 : course.ring;
    // A ring that was passed over without its approvals is asked yet.
    const joins = (ring: number): number => (course.unapproved?.includes(ring) === true ? ring : Math.max(first, ring));
    const joined = new Map([...ringOf].map(([host, ring]) => [host, joins(ring)] as const));
    return new Map([
      ...(rings ?? []),
      ...joined,
      ...(await this.#ringsOfGone(rollout, hosts, { before, evaluations, joined: new Map([...(rings ?? []), ...joined]) })),
    ]);
  }

  /**
   * Of machines that failed, and whose name is not in the flake any more: one that waits for its rename is of the ring of its new name, any
   * other of the ring that it had last. They are asked nothing, but what failed on them counts there (`ringHosts()`).
   */
  async #ringsOfGone(
    { revisionId, policy }: CurrentRollout,
    hosts: readonly FleetHost[],
    {
      before,
      evaluations,
      joined,
    }: {
      readonly before: PolicyStore;
      readonly evaluations: ReadonlyMap<HostName, Evaluation>;
      readonly joined: ReadonlyMap<HostName, number>;
    },
  ): Promise<readonly (readonly [HostName, number])[]> {
    const renamed = namesFrom([...evaluations.values()]);
    const isGone = ({ row: { host } }: FleetHost): boolean => {
      const { outcome } = evaluations.get(host) ?? {};
      return outcome === 'REMOVED' || (outcome === undefined && renamed.has(host));
    };
    const gone = hosts.filter((each) => takesPart(each.row) && isGone(each) && (each.quarantines.length > 0 || each.row.went !== undefined));
    if (gone.length === 0) return [];
    const { known = [] } = (await before.rollouts.completeBefore(revisionId)).last ?? {};
    const ringBefore = new Map(known.map(({ host, ring }) => [host, policy.rings.findIndex(({ name }) => name === ring)]));
    // Where nobody knows, the first one, which is the strictest.
    return gone.map(({ row: { host } }) => [host, joined.get(renamed.get(host) ?? host) ?? Math.max(0, ringBefore.get(host) ?? 0)] as const);
  }
}

/** What stays with its hosts when it completes, for the commits to come. */
async function leftBy({ revisionId, policy }: CurrentRollout, store: PolicyStore): Promise<LeftHosts> {
  const own = await readInForce(store, revisionId, policy);
  const { last } = await store.rollouts.completeBefore(revisionId);
  return { hosts: hostsAsLeft(own), renamed: renamedRings(last?.policy ?? policy, policy) };
}

/** What a look at a rollout comes to, with what it was made from. */
interface Decided {
  readonly decision: RolloutDecision;
  readonly facts: RolloutFacts;
  readonly weaker: readonly Loosening[];
  /** Only when it completes. */
  readonly left: LeftHosts | undefined;
}

function isCompleted({ course, steps }: RolloutDecision): boolean {
  return course.state === 'COMPLETE' && steps.length > 0;
}

/** The hosts as they were read, but without the promotion of those that `moved` does not promote. */
function heldBack(hosts: readonly FleetHost[], moved: CurrentRollout): readonly FleetHost[] {
  const isPromoted = promotedIn(moved);
  return hosts.map((each) => {
    if (!each.situation.isRingPromoted || isPromoted(each.row.host)) return each;
    const situation = { ...each.situation, isRingPromoted: false };
    return { ...each, situation, desired: resolve(situation) };
  });
}

function earliest(...dues: readonly (number | undefined)[]): number | undefined {
  const times = dues.filter((due) => due !== undefined);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** Hosts fall silent, windows open: such facts are looked at this often. */
const LOOK_MS = 15_000;

function dueIn(course: Rollout['course'], policy: RolloutPolicy, now: number): number | undefined {
  if (isEndedRollout(course.state)) return undefined;
  if (course.state !== 'SOAKING') return LOOK_MS;
  const leftMs = course.since + gatesOf(policy, course).soakMs - now;
  // After the soak it waits for a probe, whose answer brings the next look.
  return leftMs > 0 ? Math.min(LOOK_MS, leftMs) : LOOK_MS;
}
