import { isRingPromoted, TRAIN, type HostName, type RolloutPolicy, type RolloutStep, type StorePath } from '@floe/model';
import { changedWords, companyPolicy, FIRST_VALUES, valuesAfter } from './company-policy.ts';
import { DAY, planPresence, planPushes, START, type Push } from './fleet-days.ts';
import type { FleetStore, FleetStoreOptions } from './fleet-store.ts';
import { verdictOf } from './simulated-probes.ts';
import { countPlaces, placeOf, type Sample } from './sample.ts';
import { assert } from './assert.ts';
import { checkPassed, checkSoaked } from './check-passed.ts';
import { checkCounts, checkDirective, checkGo, checkLimits, hasToProve, noteStones, type Known, type Place } from './invariants.ts';
import { machineAt } from './machines.ts';
import { MemoryStore } from './memory-store.ts';
import { PolicyHistory } from './policy-history.ts';
import { Random } from './random.ts';
import { SimulatedFlake } from './simulated-flake.ts';
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

/**
 * The real engine, admission and store, and the real agent's decisions, in virtual time. Throws at the first invariant that is broken.
 */
export class Simulation {
  readonly options: SimulationOptions;
  readonly policy: RolloutPolicy;
  readonly stories: RevisionStory[] = [];
  readonly samples: Sample[] = [];
  readonly hosts: SimulatedHost[];
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
  /** Hosts with a place. */
  readonly #places = new Map<SimulatedHost, Place>();
  #store: FleetStore | undefined;
  #server: SimulatedServer | undefined;
  #people: SimulatedPeople | undefined;
  #trials: SimulatedTrials | undefined;
  /** What the rollout did in this look. */
  readonly #steps: RolloutStep[] = [];
  #flake: SimulatedFlake | undefined;
  #hasStone = false;
  #machineCount = 0;
  readonly #policies = new PolicyHistory();
  #values = FIRST_VALUES;

  constructor(options: SimulationOptions) {
    this.options = options;
    this.policy = options.policy ?? companyPolicy(options.hosts);
    this.#random = new Random(options.seed);
    this.hosts = Array.from({ length: options.hosts }, (_, index) => this.#makeHost(index));
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

  get flake(): SimulatedFlake {
    if (this.#flake === undefined) throw new Error('the simulation did not begin');
    return this.#flake;
  }

  get #known(): Known {
    const { rollout } = this.server.fleet;
    return {
      people: this.people,
      trials: this.trials,
      rollout,
      loosens: rollout !== undefined && this.#policies.loosens(rollout.id),
      now: this.#timeline.now,
    };
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
    const flake = new SimulatedFlake({
      timeline,
      random: new Random(this.options.seed + 3_000_003),
      fleetStore: store,
      hosts: this.hosts,
      makeHost: (name, before) => this.#addHost(name, before),
      noteKept: (host, until) => people.noteKept(host, until),
      disconnect: (host) => this.server.disconnect(host),
      hello: (host) => this.#server?.hello(host),
      onRenamed: (host, from) => {
        people.rename(from, host.name);
        this.#policies.rename(from, host.name);
      },
      onForgotten: (host) => {
        people.forget(host.name);
        trials.forget(host);
        this.#policies.forget(host.name);
        host.stone = undefined;
      },
      hint: () => this.#server?.hint(),
    });
    this.#flake = flake;
    const machineOf = (host: HostName): SimulatedHost | undefined => flake.machine(host);
    this.#server = new SimulatedServer({
      timeline,
      isEnrolled: (host) => flake.isEnrolled(host),
      random: this.#random,
      fleetStore: store,
      hintMs: hosts > 2_000 ? 2 * MINUTE : MINUTE / 2,
      killChance: hosts > 2_000 ? 0.00001 : 0.0003,
      onDirective: (host, stored) => checkDirective(host, stored, this.#known),
      onGo: (host, stored) => {
        checkGo(host, stored, this.#known);
        this.#places.set(host, { since: timeline.now, policy: this.server.fleet.rollout?.policy ?? this.policy });
        this.#hasBegun = true;
      },
      verdict: () => {
        const machines = this.hosts.filter((host) => flake.isEnrolled(host) && flake.has(host.name));
        return verdictOf(machines, (toplevel) => this.#storyOf.get(toplevel)?.regresses === true, timeline.now);
      },
      onStep: (step) => {
        this.pauses += step.to.state === 'PAUSED' ? 1 : 0;
        this.#steps.push(step);
      },
      administer: async (fleet) => {
        const steps = this.#steps.splice(0);
        if (steps.length > 0) checkCounts(fleet, machineOf, trials, timeline.now);
        for (const step of steps) if (step.event === 'passed' && this.server.isCalm) checkPassed(step, fleet, machineOf, timeline.now);
        await people.look(fleet, this.#follow());
      },
    });
    await flake.begin();
    people.plan(days);
    trials.plan(days);
    planPresence(this.hosts, days, timeline, this.#random);
    for (const push of planPushes(days, this.#random)) timeline.at(push.at, async () => await this.#publish(push));
    for (let at = START; at < START + days * DAY; at += SAMPLE_EVERY) timeline.at(at, () => this.#sample());
    for (let at = START; at < START + days * DAY; at += this.#random.between(4, 20) * HOUR) timeline.at(at, () => this.#server?.kill());
    await timeline.runUntil(START + days * DAY, () => this.#check());
    this.#follow();
  }

  /** A machine that comes later; where it has the name of one that is gone, its labels are those of that one. */
  #addHost(name: HostName | undefined, before: SimulatedHost | undefined): SimulatedHost {
    const host = this.#makeHost(this.#machineCount, name, before);
    if (before === undefined) this.hosts.push(host);
    else {
      before.retire();
      this.hosts[this.hosts.indexOf(before)] = host;
      // What the name rolled back does not run there, whatever machine it is.
      for (const toplevel of before.rolledBack) host.rolledBack.add(toplevel);
    }
    planPresence([host], this.options.days, this.#timeline, this.#random, this.#timeline.now);
    return host;
  }

  #makeHost(index: number, named?: HostName, before?: SimulatedHost): SimulatedHost {
    this.#machineCount += 1;
    const { name, ...machine } = machineAt(index, this.options.hosts);
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
    return new SimulatedHost(named ?? name, `machine-${index}`, before ?? machine, {
      timeline: this.#timeline,
      random: this.#random,
      server,
      fateOf,
      onActivating,
      onChanging,
      onSettled,
    });
  }

  /** Of a bad revision nothing works, on some hosts not even the network; otherwise one change in fifty fails by itself. */
  #fateOf(toplevel: StorePath): Fate {
    const story = this.#storyOf.get(toplevel);
    if (story?.isBad === true && !story.regresses) return this.#random.chance(0.5) ? 'loses-network' : 'fails';
    if (toplevel.includes('-testing-')) return this.trials.fate();
    return this.#random.chance(0.02) ? 'fails' : 'works';
  }

  async #publish(push: Push): Promise<void> {
    const sequence = this.stories.length + 1;
    const before = this.#values;
    this.#values = valuesAfter(before, push);
    const values = this.#values;
    const policy = this.options.policy ?? companyPolicy(this.options.hosts, values);
    this.flake.edit(
      push.edit,
      policy.rings.map(({ name }) => name),
    );
    const flakeHosts = this.flake.hosts;
    for (const name of this.#newest.keys()) if (!this.flake.has(name)) this.#newest.delete(name);
    for (const { host: name, labels } of flakeHosts) {
      const isLaptop = labels.includes('laptop');
      const isNew = !this.#newest.has(name);
      const isReached = isNew || push.reach === 'all' || (push.reach === 'few' ? this.#random.chance(0.1) : isLaptop === (push.reach === 'laptops'));
      if (isReached) this.#newest.set(name, `/nix/store/${'0'.repeat(32)}-${name}-${sequence}` as StorePath);
    }
    const changed = new Map([...this.#newest].filter(([, toplevel]) => toplevel.endsWith(`-${sequence}`) && !this.#storyOf.has(toplevel)));
    const fresh = { arrived: new Map(), reachable: new Set<HostName>(), tried: new Map(), steps: [], end: undefined, supersededAt: undefined };
    const wants = push.isNow ? 'hotfix --now' : push.isHotfix ? 'hotfix' : changedWords(before, values);
    const story: RevisionStory = { ...push, sequence, changed: new Set(changed.keys()), wants, ...fresh };
    for (const [host, toplevel] of changed) {
      this.#storyOf.set(toplevel, story);
      if (!push.isBad) this.#newestGood.set(host, toplevel);
    }
    this.stories.push(story);
    const { store, repositoryId } = this.#fleetStore;
    const { now } = this.#timeline;
    // What the server was killed over may have completed.
    this.#policies.noteIfComplete((await store.hosts.fleet(repositoryId)).rollout);
    await this.#fleetStore.publish({ changed, hosts: flakeHosts, policy }, now);
    this.server.fleet = await store.hosts.fleet(repositoryId);
    const rolloutId = this.server.fleet.next?.id ?? this.server.fleet.rollout?.id;
    if (rolloutId === undefined) return;
    this.#storyOfRollout.set(rolloutId, story);
    // One that was given to the simulation is none of the company's.
    if (this.options.policy === undefined) this.#policies.add(rolloutId, { policy, hosts: flakeHosts, values });
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
      noteMoment(story.steps, rollout.course, rollout.policy);
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
    const triedIn = this.#policies.ringOf(rollout, ring);
    story.tried.set(host.name, triedIn);
    // Stable is for everyone, and what was told before its rollout was superseded may be under way.
    const followed = this.#follow();
    assert(story.sequence <= (followed?.sequence ?? 0), `O13a: ${host.name} changes before the rollout of revision ${story.sequence} began`);
    const isEarly = story === followed && !isRingPromoted(rollout.course, ring);
    const isStable = isEarly && hosts.find(({ row }) => row.host === host.name)?.situation.stable?.toplevel === toplevel;
    // One whose failure paused the rollout may have been told to try again.
    const isAgain = rollout.state === 'PAUSED' && this.people.hasRetried(host.name, toplevel);
    assert(!isEarly || isStable || isAgain, `O9: ${host.name} changes before its ring`);
    // Where the label of a whole ring was stopped the next one is the first; those before it join when that ends. Another order of the rings begins again.
    const first = story.tried.values().find(({ order }) => order === triedIn.order) ?? triedIn;
    if (story.isBad) assert(ring <= first.ring, `O9: the bad revision ${story.sequence} is tried after ring ${first.name}, in ring ${triedIn.name}`);
    assert(!host.rolledBack.has(toplevel) || this.people.hasRetried(host.name, toplevel), `A7: ${host.name} begins again with what it rolled back`);
    if (story.arrived.size > 0 || (isStable && !story.isBad) || story.isNow) return;
    // Who was kept elsewhere begins with the rings reached by then.
    if (this.people.wasKept(host.name, rollout.startedAt)) return;
    const isOfStory = (system: StorePath): boolean => this.#storyOf.get(system) === story;
    const isAsked = (each: HostName): boolean => this.flake.machine(each) !== undefined && !this.people.wasKept(each, rollout.startedAt);
    const asked = hosts.find((each) => (rollout.rings?.get(each.row.host) ?? 0) < ring && isAsked(each.row.host) && hasToProve(each, isOfStory));
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
    if (state === 'SUCCEEDED' && directive !== null && !host.arrivedAt.has(directive.release.toplevel))
      host.arrivedAt.set(directive.release.toplevel, this.#timeline.now);
    if (state === 'SUCCEEDED' && directive !== null) this.#storyOf.get(directive.release.toplevel)?.arrived.set(host.name, this.#timeline.now);
  }

  #check(): void {
    this.events += 1;
    const { now } = this.#timeline;
    const { rollout } = this.server.fleet;
    const story = this.#follow();
    this.#policies.noteIfComplete(rollout);
    if (rollout?.state === 'COMPLETE') {
      if (!this.#hasStone && this.policy.steppingStones.length > 0) noteStones(this.server.fleet, this.people, (host) => this.flake.machine(host));
      this.#hasStone = true;
      assert(story?.isBad !== true, 'O4: a bad revision is complete');
    }
    // A laptop that was closed in the middle of its change loses its place when its time is over; awake again, it finishes.
    for (const [host, { since }] of this.#places) if (since + PLACE_MS < now) this.#places.delete(host);
    // More of them change at once only when one began.
    if (this.#hasBegun) checkLimits(this.#places);
    this.#hasBegun = false;
  }

  #sample(): void {
    const { now } = this.#timeline;
    if ((now - START) % DAY === 0) this.options.onDay?.((now - START) / DAY);
    const { rollout } = this.server.fleet;
    checkSoaked(rollout, now);
    const story = this.#follow();
    for (const { name, isOnline } of this.hosts) if (isOnline && story?.changed.has(name) === true) story.reachable.add(name);
    const count = countPlaces(this.hosts, (host) => placeOf(host, this.isBad(host.runs), this.#newestGood.get(host.name)));
    this.samples.push({ at: now, ...count, state: rollout?.state, ring: rollout?.course.ring ?? 0 });
    this.server.poll();
  }
}
