import { isEndedRollout, promotedRings, type HostName, type RolloutPolicy, type RolloutState, type StorePath } from '@floe/model';
import { silentLogger, type Clock } from '@floe/runtime';
import { Admission } from '../../apps/server/src/rollouts/admission.ts';
import { RolloutEngine } from '../../apps/server/src/rollouts/engine.ts';
import { DAY, isWorkday, planPresence, planPushes, START, type Push } from './fleet-days.ts';
import { companyPolicy, MemoryStore } from './memory-store.ts';
import { Random } from './random.ts';
import { SimulatedHost, type Fate } from './simulated-host.ts';
import { Timeline } from './timeline.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export interface SimulationOptions {
  readonly hosts: number;
  readonly days: number;
  readonly seed: number;
  /** Default: {@link companyPolicy}. */
  readonly policy?: RolloutPolicy;
}

/** One revision, and where it got. */
export interface RevisionStory extends Push {
  readonly sequence: number;
  readonly changed: ReadonlySet<HostName>;
  /** When each host ran it. */
  readonly arrived: Map<HostName, number>;
  /** Changed hosts that were online while it was the newest. */
  readonly reachable: Set<HostName>;
  /** Hosts that began to activate it, by the ring that they are in. */
  readonly tried: Map<HostName, number>;
  end: RolloutState | undefined;
  supersededAt: number | undefined;
}

/** The fleet at one moment, for the drawing. */
export interface Sample {
  readonly at: number;
  readonly online: number;
  readonly newest: number;
  readonly older: number;
  readonly changing: number;
  readonly failed: number;
  readonly state: RolloutState | undefined;
  readonly ring: number;
}

const SAMPLE_EVERY = 30 * MINUTE;

/** The real engine and admission over hosts that are simulated and time that is virtual. Throws at the first invariant that is broken. */
export class Simulation {
  readonly options: SimulationOptions;
  readonly stories: RevisionStory[] = [];
  readonly samples: Sample[] = [];
  readonly hosts: readonly SimulatedHost[];
  ticks = 0;
  events = 0;
  pauses = 0;
  readonly #random: Random;
  readonly #timeline = new Timeline(START);
  readonly #store: MemoryStore;
  readonly #engine: RolloutEngine;
  readonly #admission: Admission;
  readonly #byName: ReadonlyMap<HostName, SimulatedHost>;
  readonly #ready = new Set<SimulatedHost>();
  readonly #storyOf = new Map<StorePath, RevisionStory>();
  readonly #changing = new Set<SimulatedHost>();
  #isServerUp = true;
  #tickAt = Infinity;
  #isAdmitting = false;

  constructor(options: SimulationOptions) {
    this.options = options;
    this.#random = new Random(options.seed);
    this.#store = new MemoryStore(options.policy ?? companyPolicy(options.hosts));
    const timeline = this.#timeline;
    const clock: Clock = {
      now: () => timeline.now,
      monotonic: () => timeline.now,
      sinceBoot: () => timeline.now,
      sleep: async () => await Promise.resolve(),
    };
    const deps = { store: this.#store.engine, clock, logger: silentLogger, repositoryId: 'fleet' };
    this.#engine = new RolloutEngine({ ...deps, onStep: (_, { to }) => this.#onStep(to.state) });
    this.#admission = new Admission(deps);
    this.hosts = Array.from({ length: options.hosts }, (_, index) => this.#makeHost(index));
    this.#byName = new Map(this.hosts.map((host) => [host.stored.row.host, host]));
  }

  async run(): Promise<void> {
    const { days } = this.options;
    const timeline = this.#timeline;
    planPresence(this.hosts, days, timeline, this.#random);
    for (const push of planPushes(days, this.#random)) timeline.at(push.at, () => this.#publish(push));
    for (let at = START; at < START + days * DAY; at += SAMPLE_EVERY) timeline.at(at, () => this.#sample());
    for (let at = START; at < START + days * DAY; at += this.#random.between(4, 20) * HOUR) timeline.at(at, () => this.#killServer());
    await timeline.runUntil(START + days * DAY, () => this.#check());
    this.#closeStory();
  }

  #makeHost(index: number): SimulatedHost {
    const isLaptop = index % 10 < 7;
    const canaries = Math.max(2, Math.min(20, Math.round(this.options.hosts / 50)));
    // Servers and laptops alike, so that there is somebody at night, too.
    const isCanary = index < canaries || (index % 10 === 9 && index < 10 * canaries);
    const labels = [isLaptop ? 'laptop' : 'server', ...(isCanary ? ['canary'] : []), ...(index % 500 === 8 ? ['dns'] : [])];
    const stored = this.#store.add(`${isLaptop ? 'laptop' : 'server'}-${index}` as HostName, labels, START);
    return new SimulatedHost(stored, isLaptop, {
      timeline: this.#timeline,
      random: this.#random,
      store: this.#store,
      fateOf: (_, toplevel) => this.#fateOf(toplevel),
      onReady: (host) => {
        this.#ready.add(host);
        this.#hint();
      },
      onActivating: (host, toplevel) => this.#onActivating(host, toplevel),
      onReport: (host) => this.#onReport(host),
    });
  }

  /** Of a bad revision nothing works, on some hosts not even the network; otherwise one change in fifty fails by itself. */
  #fateOf(toplevel: StorePath): Fate {
    if (this.#storyOf.get(toplevel)?.isBad === true) return this.#random.chance(0.5) ? 'loses-network' : 'fails';
    return this.#random.chance(0.02) ? 'fails' : 'works';
  }

  #publish(push: Push): void {
    this.#closeStory();
    const changed = new Map<HostName, StorePath>();
    const sequence = this.stories.length + 1;
    for (const { isLaptop, stored } of this.hosts) {
      const isReached = push.reach === 'all' || (push.reach === 'few' ? this.#random.chance(0.1) : isLaptop === (push.reach === 'laptops'));
      if (isReached) changed.set(stored.row.host, `/nix/store/${'0'.repeat(32)}-${stored.row.host}-${sequence}` as StorePath);
    }
    const { now } = this.#timeline;
    const hotfix = push.isHotfix ? { by: 'ada', role: 'administrator' as const, reason: 'the last one is bad', at: now } : undefined;
    this.#store.publish(changed, { hotfix }, now);
    const story: RevisionStory = {
      ...push,
      sequence,
      changed: new Set(changed.keys()),
      arrived: new Map(),
      reachable: new Set(),
      tried: new Map(),
      end: undefined,
      supersededAt: undefined,
    };
    for (const toplevel of changed.values()) this.#storyOf.set(toplevel, story);
    this.stories.push(story);
    this.#hint();
  }

  #closeStory(): void {
    const story = this.stories.at(-1);
    if (story === undefined) return;
    story.end = this.#store.current?.state;
    story.supersededAt = this.#timeline.now;
  }

  /** What could have been a hint is lost every fifth time: the poll finds it. */
  #hint(): void {
    this.#tickSoon(this.#random.chance(0.2) ? this.#pollMs : 5_000);
  }

  get #pollMs(): number {
    return this.options.hosts > 2_000 ? 5 * MINUTE : MINUTE;
  }

  #tickSoon(ms: number): void {
    // Of many hosts there is always news: a look takes all of it.
    const at = this.#timeline.now + Math.max(ms, this.options.hosts > 2_000 ? 30_000 : 5_000);
    if (at >= this.#tickAt) return;
    this.#tickAt = at;
    this.#timeline.at(at, async () => {
      if (this.#tickAt === at) await this.#tick();
    });
  }

  /** The server's look: the engine decides, what each host should run is stored, and whoever is here is told. */
  async #tick(): Promise<void> {
    this.#tickAt = Infinity;
    if (!this.#isServerUp) return this.#tickSoon(this.#pollMs);
    this.ticks += 1;
    const { fleet, dueInMs } = await this.#engine.tick(this.#store.readFleet());
    // Killed between the decision and what follows from it, once in a while: the next look finds the same.
    if (this.#random.chance(0.01)) {
      this.#killServer();
      return this.#tickSoon(this.#pollMs);
    }
    for (const { row, desired, situation } of fleet.hosts) {
      if (desired.kind !== 'release' || row.desired?.releaseId === desired.release.id) continue;
      const { id, toplevel, sequence } = desired.release;
      assert(!situation.quarantined.has(toplevel), `D6: ${row.host} is told to run what it rolled back`);
      assert(sequence >= (row.desired?.sequence ?? 0), `D5: ${row.host} is told to go back`);
      const host = this.#byName.get(row.host);
      if (host === undefined) continue;
      host.stored.row.epoch += 1;
      host.stored.row.desired = { releaseId: id, toplevel, sequence, epoch: host.stored.row.epoch, since: this.#timeline.now };
      host.directives += 1;
      host.takeDirective();
    }
    await this.#admit();
    this.#administer();
    if (dueInMs !== undefined || this.#ready.size > 0) this.#tickSoon(Math.max(this.#pollMs, dueInMs ?? 0));
  }

  /** Whoever is ready asks again from time to time: as many as get their `go`, and a few of each kind that have to wait. */
  async #admit(): Promise<void> {
    if (this.#isAdmitting) return;
    this.#isAdmitting = true;
    const refused = new Map<string, number>();
    for (const host of this.#ready) {
      const { row } = host.stored;
      if (!host.isOnline || host.phase !== 'ready') {
        this.#ready.delete(host);
        continue;
      }
      const kind = `${this.#store.current?.rings?.get(row.host)} ${row.desired?.sequence}`;
      if ((refused.get(kind) ?? 0) >= 3 || row.desired?.toplevel !== host.subject) continue;
      if (await this.#admission.mayActivate(row.host, row.epoch)) {
        this.#ready.delete(host);
        host.go();
      } else refused.set(kind, (refused.get(kind) ?? 0) + 1);
    }
    this.#isAdmitting = false;
  }

  #onActivating(host: SimulatedHost, toplevel: StorePath): void {
    this.#changing.add(host);
    // A laptop that was closed in the middle of its change loses its place when its time is over; awake again, it finishes.
    const inFlight = [...this.#changing].filter(({ stored }) => stored.row.went !== undefined && this.#timeline.now <= stored.row.went.until);
    const { maxInFlight = Infinity } = this.#store.policy;
    assert(inFlight.length <= maxInFlight, `O17: ${inFlight.length} hosts change at the same time, of at most ${maxInFlight}`);
    const story = this.#storyOf.get(toplevel);
    const { current } = this.#store;
    if (story === undefined || current === undefined) return;
    const ring = current.rings?.get(host.stored.row.host) ?? 0;
    story.tried.set(host.stored.row.host, ring);
    // Stable is for everyone, and what was told before its rollout was superseded may be under way.
    const isOfRollout = story === this.stories.at(-1) && host.stored.stable?.toplevel !== toplevel;
    assert(!isOfRollout || ring < promotedRings(current.course), `O9: ${host.stored.row.host} changes before its ring`);
    const rings = new Set(story.tried.values());
    if (story.isBad) assert(rings.size === 1, `O9: the bad revision ${story.sequence} is tried in more than one ring`);
    // In the next rollout it is on its way with other changes; and a person may have acknowledged that all of its first hosts failed.
    const isAlone = story === this.stories.at(-1) && current.orders.resume === undefined;
    if (isAlone && rings.size > 1) assert(story.arrived.size > 0, `O9: revision ${story.sequence} is in its second ring, and nobody has verified it`);
  }

  #onReport({ stored, phase }: SimulatedHost): void {
    const { row } = stored;
    if (phase !== 'activates') {
      const host = this.#byName.get(row.host);
      if (host !== undefined) this.#changing.delete(host);
    }
    if (row.state === 'SUCCEEDED' && row.stateToplevel !== undefined) this.#storyOf.get(row.stateToplevel)?.arrived.set(row.host, this.#timeline.now);
    if (row.state === 'SUCCEEDED' || row.state === 'ROLLED_BACK') this.#hint();
  }

  #onStep(state: RolloutState): void {
    if (state === 'PAUSED') this.pauses += 1;
  }

  /** At office hours a person looks at a pause, some time after it began: resumes a good revision, leaves a bad one to the next. */
  #administer(): void {
    const { current } = this.#store;
    const story = this.stories.at(-1);
    if (current?.state !== 'PAUSED' || story === undefined || story.isBad) return;
    const { now } = this.#timeline;
    const hour = ((now - START) % DAY) / HOUR;
    const isAtWork = isWorkday(Math.floor((now - START) / DAY)) && hour >= 8 && hour < 18;
    if (!isAtWork || now - current.course.since < 20 * MINUTE || current.orders.resume?.of === current.course.since) return;
    const failed = [...this.#store.hosts.values()].filter(({ rollout, quarantined }) => rollout !== undefined && quarantined.has(rollout.toplevel));
    // A commit on top of a bad one contains what was bad, and the pause names who failed with it.
    if (failed.some(({ rollout }) => rollout !== undefined && this.#storyOf.get(rollout.toplevel)?.isBad === true)) return;
    for (const { acknowledged, rollout } of failed) if (rollout !== undefined) acknowledged.add(rollout.toplevel);
    this.#store.order({ resume: { by: 'ada', role: 'operator', reason: 'they failed by themselves', at: now, of: current.course.since } });
  }

  /** Everybody has to connect again. */
  #killServer(): void {
    this.#isServerUp = false;
    const here = this.hosts.filter(({ isOnline }) => isOnline);
    for (const host of here) host.disconnect();
    for (const host of here) {
      this.#timeline.after(this.#random.between(20_000, 80_000), () => host.connect());
    }
    this.#timeline.after(10_000, () => {
      this.#isServerUp = true;
      this.#tickSoon(5_000);
    });
  }

  #check(): void {
    this.events += 1;
    const { current } = this.#store;
    if (current?.state === 'COMPLETE' && this.stories.at(-1)?.isBad === true) assert(false, 'O4: a bad revision is complete');
  }

  #sample(): void {
    const { current } = this.#store;
    const story = this.stories.at(-1);
    let [online, newest, changing, failed] = [0, 0, 0, 0];
    for (const { isOnline, phase, runs, stored } of this.hosts) {
      const { rollout, quarantined, row } = stored;
      if (isOnline) online += 1;
      if (isOnline && story?.changed.has(row.host) === true) story.reachable.add(row.host);
      if (phase === 'activates') changing += 1;
      else if (rollout !== undefined && runs === rollout.toplevel) newest += 1;
      else if (rollout !== undefined && quarantined.has(rollout.toplevel)) failed += 1;
    }
    const older = this.hosts.length - newest - changing - failed;
    this.samples.push({ at: this.#timeline.now, online, newest, older, changing, failed, state: current?.state, ring: current?.course.ring ?? 0 });
    if (current !== undefined && !isEndedRollout(current.state)) this.#tickSoon(this.#pollMs);
  }
}

class BrokenInvariant extends Error {}

function assert(holds: boolean, message: string): void {
  if (!holds) throw new BrokenInvariant(message);
}
