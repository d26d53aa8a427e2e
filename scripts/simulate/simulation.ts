import { isRingPromoted, TRAIN, type HostName, type ProbeVerdict, type RolloutPolicy, type RolloutStep, type StorePath } from '@floe/model';
import { changedWords, companyPolicy, FIRST_VALUES, isLooser, valuesAfter, type PolicyValues } from './company-policy.ts';
import { DAY, planPresence, planPushes, START, ZONES, type Push } from './fleet-days.ts';
import type { CurrentRollout } from '@floe/store';
import type { FleetStore, FleetStoreOptions } from './fleet-store.ts';
import { placeOf, type Sample } from './sample.ts';
import { assert } from './assert.ts';
import { checkPassed, checkSoaked } from './check-passed.ts';
import { checkCounts, checkDirective, checkGo, checkLimits, type Known } from './invariants.ts';
import { MemoryStore } from './memory-store.ts';
import { Random } from './random.ts';
import { SimulatedHost, type Fate } from './simulated-host.ts';
import { SimulatedServer } from './simulated-server.ts';
import { SimulatedPeople } from './simulated-people.ts';
import { SimulatedTrials } from './simulated-trials.ts';
import { noteMoment, type RevisionStory } from './story.ts';
import { Timeline } from './timeline.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export interface SimulationOptions {
  readonly hosts: number;
  readonly days: number;
  readonly seed: number;
  /** Of each commit; default: {@link companyPolicy}, which some of them change. */
  readonly policy?: RolloutPolicy;
  /** A day begins: how many are over. */
  readonly onDay?: (over: number) => void;
  /** Default: in memory. */
  readonly openStore?: (options: FleetStoreOptions) => Promise<FleetStore>;
}

const SAMPLE_EVERY = 30 * MINUTE;

/** A `go` is good for so long (apps/server/src/rollouts/admission.ts). */
const PLACE_MS = HOUR;
/** After so long it is seen that a commit made things worse: within the soak of the first ring. */
const REGRESS_MS = 10 * MINUTE;

/**
 * The real engine, admission and store, and the real agent's decisions, in virtual time. Throws at the first invariant that is broken.
 */
export class Simulation {
  readonly options: SimulationOptions;
  readonly policy: RolloutPolicy;
  readonly stories: RevisionStory[] = [];
  readonly samples: Sample[] = [];
  readonly hosts: readonly SimulatedHost[];
  events = 0;
  pauses = 0;
  readonly #random: Random;
  readonly #timeline = new Timeline(START);
  readonly #storyOf = new Map<StorePath, RevisionStory>();
  readonly #storyOfRollout = new Map<string, RevisionStory>();
  #followed: RevisionStory | undefined;
  /** The newest system of each host. */
  readonly #newest = new Map<HostName, StorePath>();
  /** The newest one that is not of a bad revision. */
  readonly #newestGood = new Map<HostName, StorePath>();
  /** Somebody took a place, or began to change, since the limits were checked. */
  #hasBegun = false;
  /** Hosts with a place, until when. */
  readonly #places = new Map<SimulatedHost, number>();
  #store: FleetStore | undefined;
  #server: SimulatedServer | undefined;
  #people: SimulatedPeople | undefined;
  #trials: SimulatedTrials | undefined;
  /** What the rollout did in this look. */
  readonly #steps: RolloutStep[] = [];
  readonly #machines: ReadonlyMap<HostName, SimulatedHost>;
  #hasStone = false;
  #values = FIRST_VALUES;
  /** What commits have of the policy, by rollout. */
  readonly #valuesOf = new Map<string, PolicyValues>();
  /** The last rollout that was complete. */
  #complete: { readonly id: string; readonly values: PolicyValues; readonly rings: CurrentRollout['rings'] } | undefined;

  /** Whether hosts moved between these two. */
  #moved: { readonly rings: CurrentRollout['rings']; readonly before: CurrentRollout['rings']; readonly isMoved: boolean } | undefined;

  constructor(options: SimulationOptions) {
    this.options = options;
    this.policy = options.policy ?? companyPolicy(options.hosts);
    this.#random = new Random(options.seed);
    this.hosts = Array.from({ length: options.hosts }, (_, index) => this.#makeHost(index));
    this.#machines = new Map(this.hosts.map((host) => [host.name, host]));
  }

  get ticks(): number {
    return this.server.ticks;
  }

  get kills(): number {
    return this.server.kills;
  }

  /** When it ended, or broke. */
  get end(): number {
    return this.#timeline.now;
  }

  /** It is of a revision that works nowhere. */
  isBad(toplevel: StorePath | undefined): boolean {
    return toplevel !== undefined && this.#storyOf.get(toplevel)?.isBad === true;
  }

  get server(): SimulatedServer {
    if (this.#server === undefined) throw new Error('the simulation did not begin');
    return this.#server;
  }

  get people(): SimulatedPeople {
    if (this.#people === undefined) throw new Error('the simulation did not begin');
    return this.#people;
  }

  get trials(): SimulatedTrials {
    if (this.#trials === undefined) throw new Error('the simulation did not begin');
    return this.#trials;
  }

  get #known(): Known {
    const { rollout } = this.server.fleet;
    return { people: this.people, trials: this.trials, rollout, loosens: this.#loosens(rollout), now: this.#timeline.now };
  }

  get #fleetStore(): FleetStore {
    if (this.#store === undefined) throw new Error('the simulation did not begin');
    return this.#store;
  }

  async run(): Promise<void> {
    const { days, openStore, hosts } = this.options;
    const timeline = this.#timeline;
    const storeOptions = { now: () => timeline.now };
    await using store = (await openStore?.(storeOptions)) ?? new MemoryStore(storeOptions);
    this.#store = store;
    const people = new SimulatedPeople({
      timeline,
      random: new Random(this.options.seed + 1_000_003),
      fleetStore: store,
      hosts: this.hosts,
      isBad: (toplevel) => this.isBad(toplevel),
      hint: () => this.#server?.hint(),
    });
    this.#people = people;
    const trials = new SimulatedTrials({
      timeline,
      random: new Random(this.options.seed + 2_000_003),
      fleetStore: store,
      hosts: this.hosts,
      noteKept: (host, until) => people.noteKept(host, until),
      newestOf: (host) => this.#newestGood.get(host),
      hint: () => this.#server?.hint(),
    });
    this.#trials = trials;
    this.#server = new SimulatedServer({
      timeline,
      random: this.#random,
      fleetStore: store,
      hintMs: hosts > 2_000 ? 2 * MINUTE : MINUTE / 2,
      killChance: hosts > 2_000 ? 0.00001 : 0.0003,
      onDirective: (host, stored) => checkDirective(host, stored, this.#known),
      onGo: (host, stored) => {
        checkGo(host, stored, this.#known);
        this.#places.set(host, timeline.now + PLACE_MS);
        this.#hasBegun = true;
      },
      verdict: () => this.#verdict(),
      onStep: (step) => {
        this.pauses += step.to.state === 'PAUSED' ? 1 : 0;
        this.#steps.push(step);
      },
      administer: async (fleet) => {
        const steps = this.#steps.splice(0);
        if (steps.length > 0) checkCounts(fleet, this.#machines, trials, timeline.now);
        for (const step of steps) if (step.event === 'passed' && this.server.isCalm) checkPassed(step, fleet, this.#machines, timeline.now);
        await people.look(fleet, this.#follow());
      },
    });
    await store.enrol(
      this.hosts.map(({ name, labels, timeZone }) => ({ host: name, labels, timeZone })),
      START,
    );
    people.plan(days);
    trials.plan(days);
    planPresence(this.hosts, days, timeline, this.#random);
    for (const push of planPushes(days, this.#random)) timeline.at(push.at, async () => await this.#publish(push));
    for (let at = START; at < START + days * DAY; at += SAMPLE_EVERY) timeline.at(at, () => this.#sample());
    for (let at = START; at < START + days * DAY; at += this.#random.between(4, 20) * HOUR) timeline.at(at, () => this.#server?.kill());
    await timeline.runUntil(START + days * DAY, () => this.#check());
    this.#follow();
  }

  #makeHost(index: number): SimulatedHost {
    const isLaptop = index % 10 < 7;
    const canaries = Math.max(2, Math.min(20, Math.round(this.options.hosts / 50)));
    // Servers and laptops alike, so that there is somebody at night, too.
    const isCanary = index < canaries || (index % 10 === 9 && index < 10 * canaries);
    const labels = [isLaptop ? 'laptop' : 'server', ...(isCanary ? ['canary'] : []), ...(index % 50 === 8 ? ['dns'] : [])];
    const name = `${isLaptop ? 'laptop' : 'server'}-${index}` as HostName;
    const server = {
      hello: (host: SimulatedHost) => this.#server?.hello(host),
      said: (host: SimulatedHost) => this.#server?.said(host),
      ready: (host: SimulatedHost, epoch: number) => this.#server?.ready(host, epoch),
      lost: (host: SimulatedHost) => this.#server?.lost(host),
    };
    const fateOf = (toplevel: StorePath): Fate => this.#fateOf(toplevel);
    const onActivating = (host: SimulatedHost, toplevel: StorePath): void => this.#onActivating(host, toplevel);
    const onSettled = (host: SimulatedHost): void => this.#onSettled(host);
    const onChanging = (): void => void (this.#hasBegun = true);
    const zones = Object.keys(ZONES);
    const timeZone = zones[index % 5 < 3 ? 0 : (index % 5) - 2] ?? 'UTC';
    return new SimulatedHost(
      name,
      { isLaptop, labels, timeZone },
      { timeline: this.#timeline, random: this.#random, server, fateOf, onActivating, onChanging, onSettled },
    );
  }

  /** Of a bad revision nothing works, on some hosts not even the network; otherwise one change in fifty fails by itself. */
  #fateOf(toplevel: StorePath): Fate {
    const story = this.#storyOf.get(toplevel);
    if (story?.isBad === true && !story.regresses) return this.#random.chance(0.5) ? 'loses-network' : 'fails';
    if (toplevel.includes('-testing-')) return this.trials.fate();
    return this.#random.chance(0.02) ? 'fails' : 'works';
  }

  /** What is measured of the fleet: it gets worse some time after the first host runs a commit that regresses, and is well when none does. */
  #verdict(): ProbeVerdict {
    const regressed = this.stories.filter(({ regresses }) => regresses);
    const { now } = this.#timeline;
    const isWorse = this.hosts.some(({ name, runs }) => {
      const story = runs === undefined ? undefined : this.#storyOf.get(runs);
      return story?.regresses === true && (story.arrived.get(name) ?? now) + REGRESS_MS <= now;
    });
    return regressed.length > 0 && isWorse ? 'bad' : 'good';
  }

  async #publish(push: Push): Promise<void> {
    const sequence = this.stories.length + 1;
    for (const { name, isLaptop } of this.hosts) {
      const isReached = push.reach === 'all' || (push.reach === 'few' ? this.#random.chance(0.1) : isLaptop === (push.reach === 'laptops'));
      if (isReached) this.#newest.set(name, `/nix/store/${'0'.repeat(32)}-${name}-${sequence}` as StorePath);
    }
    const changed = new Map([...this.#newest].filter(([, toplevel]) => toplevel.endsWith(`-${sequence}`) && !this.#storyOf.has(toplevel)));
    const fresh = { arrived: new Map(), reachable: new Set<HostName>(), tried: new Map(), steps: [], end: undefined, supersededAt: undefined };
    const before = this.#values;
    this.#values = valuesAfter(before, push);
    const wants = push.isNow ? 'hotfix --now' : push.isHotfix ? 'hotfix' : changedWords(before, this.#values);
    const story: RevisionStory = { ...push, sequence, changed: new Set(changed.keys()), wants, ...fresh };
    for (const [host, toplevel] of changed) {
      this.#storyOf.set(toplevel, story);
      if (!push.isBad) this.#newestGood.set(host, toplevel);
    }
    this.stories.push(story);
    const { store, repositoryId } = this.#fleetStore;
    const { now } = this.#timeline;
    // What the server was killed over may have completed.
    this.#noteComplete((await store.hosts.fleet(repositoryId)).rollout);
    const values = this.#values;
    await this.#fleetStore.publish(changed, this.options.policy ?? companyPolicy(this.options.hosts, values), now);
    this.server.fleet = await store.hosts.fleet(repositoryId);
    const rolloutId = this.server.fleet.next?.id ?? this.server.fleet.rollout?.id;
    if (rolloutId === undefined) return;
    this.#storyOfRollout.set(rolloutId, story);
    this.#valuesOf.set(rolloutId, values);
    this.#follow();
    const urgent = { rolloutId, kind: 'hotfix', role: 'administrator', reason: 'the last one is bad', at: now } as const;
    if (push.isHotfix) for (const by of ['ada', 'bob']) await store.rollouts.order({ ...urgent, by, ...(push.isNow && { subject: 1 }) });
    this.server.hint();
  }

  /** The story of the rollout that hosts follow. When that is another one than before, the one before is over. */
  #follow(): RevisionStory | undefined {
    const { rollout, next } = this.server.fleet;
    const story = rollout && this.#storyOfRollout.get(rollout.id);
    const before = this.#followed;
    if (before !== undefined && before !== story) before.supersededAt = this.#timeline.now;
    // Also when it is over by now.
    if (story !== undefined && rollout !== undefined) {
      story.end = rollout.state;
      noteMoment(story.steps, rollout.course);
    }
    this.#followed = story;
    const { now } = this.#timeline;
    assert(next?.hasNews !== true || now <= next.since + TRAIN.ms + HOUR, `O13a: ${next?.id} waits for more than a day`);
    return story;
  }

  #onActivating(host: SimulatedHost, toplevel: StorePath): void {
    if (host.journal.directive?.trial != null) return;
    const story = this.#storyOf.get(toplevel);
    const { rollout, hosts } = this.server.fleet;
    if (story === undefined || rollout === undefined) return;
    const ring = rollout.rings?.get(host.name) ?? 0;
    story.tried.set(host.name, ring);
    // Stable is for everyone, and what was told before its rollout was superseded may be under way.
    const followed = this.#follow();
    assert(story.sequence <= (followed?.sequence ?? 0), `O13a: ${host.name} changes before the rollout of revision ${story.sequence} began`);
    const isEarly = story === followed && !isRingPromoted(rollout.course, ring);
    const isStable = isEarly && hosts.find(({ row }) => row.host === host.name)?.situation.stable?.toplevel === toplevel;
    // One whose failure paused the rollout may have been told to try again.
    const isAgain = rollout.state === 'PAUSED' && this.people.hasRetried(host.name, toplevel);
    assert(!isEarly || isStable || isAgain, `O9: ${host.name} changes before its ring`);
    const [firstRing = ring] = story.tried.values();
    // Where the label of a whole ring was stopped the next one is the first; those before it join when that ends.
    if (story.isBad) assert(ring <= firstRing, `O9: the bad revision ${story.sequence} is tried after ring ${firstRing}, in ring ${ring}`);
    assert(!host.rolledBack.has(toplevel) || this.people.hasRetried(host.name, toplevel), `A7: ${host.name} begins again with what it rolled back`);
    if (story.arrived.size > 0 || (isStable && !story.isBad) || story.isNow) return;
    const asked = hosts.find((each) => {
      const { toplevel: system } = each.situation.rollout ?? {};
      if (system === undefined || this.#storyOf.get(system) !== story || each.acknowledged.has(system)) return false;
      // Nobody is asked who failed with a stepping stone.
      const { stone, quarantined } = each.situation;
      if (stone !== undefined && quarantined.has(stone.toplevel)) return false;
      return (rollout.rings?.get(each.row.host) ?? 0) < ring && !this.people.wasKept(each.row.host, rollout.startedAt);
    });
    assert(
      asked === undefined,
      `O29: ${host.name} of ring ${ring} begins with revision ${story.sequence}, which ${asked?.row.host} of a ring before it has not run`,
    );
  }

  #onSettled(host: SimulatedHost): void {
    const { state, directive } = host.journal;
    this.#places.delete(host);
    if (directive?.trial != null) return this.trials.note(host, directive.release.toplevel);
    if (state === 'ROLLED_BACK' && directive !== null) host.rolledBack.add(directive.release.toplevel);
    if (state === 'SUCCEEDED' && directive !== null) this.#storyOf.get(directive.release.toplevel)?.arrived.set(host.name, this.#timeline.now);
  }

  #check(): void {
    this.events += 1;
    const { now } = this.#timeline;
    const { rollout } = this.server.fleet;
    const story = this.#follow();
    if (rollout?.state === 'COMPLETE') this.#noteStone(rollout);
    this.#noteComplete(rollout);
    if (rollout?.state === 'COMPLETE' && story?.isBad === true) assert(false, 'O4: a bad revision is complete');
    // A laptop that was closed in the middle of its change loses its place when its time is over; awake again, it finishes.
    for (const [host, until] of this.#places) if (until < now) this.#places.delete(host);
    // More of them change at once only when one began.
    if (this.#hasBegun) checkLimits([...this.#places.keys()], this.policy);
    this.#hasBegun = false;
  }

  #noteComplete(rollout: CurrentRollout | undefined): void {
    if (rollout?.state !== 'COMPLETE') return;
    this.#complete = { id: rollout.id, values: this.#valuesOf.get(rollout.id) ?? FIRST_VALUES, rings: rollout.rings };
  }

  /** Its policy is weaker than that of the last complete one, or it moves hosts: an administrator approves that before anybody is told. */
  #loosens(rollout: CurrentRollout | undefined): boolean {
    const before = this.#complete;
    if (rollout === undefined || before === undefined || before.id === rollout.id || this.options.policy !== undefined) return false;
    return this.#areMoved(rollout.rings, before.rings) || isLooser(before.values, this.#valuesOf.get(rollout.id) ?? FIRST_VALUES);
  }

  /** Hosts are in another ring than before. The rings of a rollout are another map when they are others. */
  #areMoved(rings: CurrentRollout['rings'], before: CurrentRollout['rings']): boolean {
    const known = this.#moved;
    if (known?.rings === rings && known?.before === before) return known?.isMoved === true;
    const isMoved = [...(rings ?? [])].some(([host, ring]) => (before?.get(host) ?? ring) !== ring);
    this.#moved = { rings, before, isMoved };
    return isMoved;
  }

  /** The first complete commit is a stepping stone, for whoever it was asked of. */
  #noteStone({ startedAt, course, rings }: CurrentRollout): void {
    if (this.#hasStone || this.policy.steppingStones.length === 0) return;
    this.#hasStone = true;
    const stones = new Map(this.server.fleet.hosts.map(({ row, situation }) => [row.host, situation.rollout]));
    for (const host of this.hosts) {
      const wasAsked = !this.people.wasKept(host.name, startedAt) && course.unapproved?.includes(rings?.get(host.name) ?? 0) !== true;
      if (wasAsked) host.stone = stones.get(host.name);
    }
  }

  #sample(): void {
    const { now } = this.#timeline;
    if ((now - START) % DAY === 0) this.options.onDay?.((now - START) / DAY);
    const { rollout } = this.server.fleet;
    checkSoaked(rollout, now);
    const story = this.#follow();
    const count = { online: 0, newest: 0, older: 0, changing: 0, waiting: 0, failed: 0, bad: 0, away: 0 };
    for (const host of this.hosts) {
      if (host.isOnline) count.online += 1;
      if (host.isOnline && story?.changed.has(host.name) === true) story.reachable.add(host.name);
      count[placeOf(host, this.isBad(host.runs), this.#newestGood.get(host.name))] += 1;
    }
    this.samples.push({ at: now, ...count, state: rollout?.state, ring: rollout?.course.ring ?? 0 });
    this.server.poll();
  }
}
