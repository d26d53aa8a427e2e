import { isEndedRollout, type HostName, type PermitGrounds, type ProbeVerdict, type ReleaseRef, type RolloutStep } from '@floe/model';
import { silentLogger, type Clock } from '@floe/runtime';
import type { Fleet, FleetHost, StoredReport } from '@floe/store';
import { Admission } from '../../apps/server/src/rollouts/admission.ts';
import { RolloutEngine } from '../../apps/server/src/rollouts/engine.ts';
import { movesRollout } from '../../apps/server/src/steering.ts';
import { killable, ServerKilled, type FleetStore, type SimulatedStore } from './fleet-store.ts';
import { SimulatedProbes } from './simulated-probes.ts';
import type { Random } from './random.ts';
import type { HostsServer, SimulatedHost } from './simulated-host.ts';
import type { Timeline } from './timeline.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** How soon it looks without one. */
const POLL_MS = 5 * MINUTE;

function permitOf({ desired }: FleetHost): PermitGrounds | undefined {
  return desired.kind === 'release' ? desired.permit : undefined;
}

export interface ServerDeps {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly fleetStore: FleetStore;
  /** How soon it looks after a hint: of many hosts there is always news, and a look takes all of it. */
  readonly hintMs: number;
  /** How probable it is that it is killed before a call of the store, or after it. */
  readonly killChance: number;
  readonly isEnrolled: (host: SimulatedHost) => boolean;
  readonly onDirective: (host: SimulatedHost, stored: FleetHost) => void;
  readonly onGo: (host: SimulatedHost, stored: FleetHost | undefined) => void;
  readonly onStep: (step: RolloutStep) => void;
  /** What a probe says now. */
  readonly verdict: () => ProbeVerdict;
  /** A person looks at what it shows. */
  readonly administer: (fleet: Fleet) => Promise<void>;
}

/** The server's connections, and its loop: the engine, the answers of resolve(), the directives, and who gets a `go`. */
export class SimulatedServer implements HostsServer {
  /** What its last look came to. */
  fleet: Fleet = { rollout: undefined, hosts: [] };
  ticks = 0;
  kills = 0;
  #killedAt: readonly number[] = [];
  readonly #deps: ServerDeps;
  readonly #store: SimulatedStore;
  readonly #engine: RolloutEngine;
  readonly #admission: Admission;
  readonly #sessions = new Map<HostName, { readonly host: SimulatedHost; readonly id: string; offered: number }>();
  readonly #ready = new Map<SimulatedHost, number>();
  readonly #unread = new Set<SimulatedHost>();
  readonly #clock: Clock;
  #isUp = true;
  #tickAt = Infinity;
  #flushAt = Infinity;
  #sessionCount = 0;

  constructor(deps: ServerDeps) {
    this.#deps = deps;
    const { timeline, fleetStore, random, killChance } = deps;
    this.#clock = {
      now: () => timeline.now,
      monotonic: () => timeline.now,
      sinceBoot: () => timeline.now,
      sleep: async () => await Promise.resolve(),
    };
    this.#store = killable(fleetStore.store, () => random.chance(killChance));
    const parts = { store: this.#store, clock: this.#clock, logger: silentLogger, repositoryId: fleetStore.repositoryId };
    const probes = new SimulatedProbes({
      store: this.#store,
      ask: (answer) => timeline.after(random.between(1, 20) * SECOND, async () => await this.#alive(answer(deps.verdict()))),
      onAnswer: () => this.hint(),
      now: () => timeline.now,
    });
    this.#engine = new RolloutEngine({ ...parts, forge: 'github', probes, onStep: (_, step) => deps.onStep(step) });
    this.#admission = new Admission(parts);
  }

  hello(host: SimulatedHost): void {
    this.#deps.timeline.after(this.#deps.random.between(0.2, 2) * SECOND, async () => {
      if (!host.isOnline || host.session !== undefined || !this.#deps.isEnrolled(host)) return;
      if (!this.#isUp) return host.dropped();
      await this.#alive(async () => await this.#letIn(host));
      // Killed meanwhile.
      if (host.session === undefined) host.dropped();
    });
  }

  async #letIn(host: SimulatedHost): Promise<void> {
    this.#sessionCount += 1;
    const id = `server/${this.#sessionCount}`;
    const { state, directive, epoch } = host.journal;
    const about = { bootId: 'boot', machineId: host.id, agentVersion: '1', system: 'x86_64-linux', observed: host.observe() };
    const stateToplevel = directive?.release.toplevel;
    const counters = { epoch, sequence: host.acceptedSequence, reportSeq: host.seq };
    await this.#store.hosts.connect(host.name, { sessionId: id, ...about, state, stateToplevel, ...counters, at: this.#clock.now() });
    this.#sessions.set(host.name, { host, id, offered: 0 });
    host.welcomed(id);
    this.hint();
  }

  lost(host: SimulatedHost): void {
    const session = this.#sessions.get(host.name);
    if (session?.host !== host) return;
    const { name } = host;
    this.#sessions.delete(name);
    this.#ready.delete(host);
    this.#deps.timeline.after(this.#deps.random.between(1, 60) * SECOND, async () => {
      await this.#alive(async () => void (await this.#store.hosts.disconnect(name, session.id, this.#clock.now())));
    });
  }

  /** It was shut out, or has another name. */
  disconnect(host: SimulatedHost): void {
    this.lost(host);
    this.#unread.delete(host);
    host.session = undefined;
  }

  said(host: SimulatedHost): void {
    this.#unread.add(host);
    if (this.#flushAt !== Infinity) return;
    const at = this.#deps.timeline.now + 2 * SECOND;
    this.#flushAt = at;
    this.#deps.timeline.at(at, async () => {
      this.#flushAt = Infinity;
      await this.#alive(async () => await this.#flush());
    });
  }

  /** Stores what hosts reported, as one batch, and says so to them. */
  async #flush(): Promise<void> {
    const hosts = [...this.#unread].filter(({ session }) => session !== undefined);
    this.#unread.clear();
    const batch: StoredReport[] = hosts.flatMap(({ queue, name }) =>
      queue.map((report) => ({ ...report, host: name, receivedAt: this.#clock.now() })),
    );
    if (batch.length === 0) return;
    const acknowledged = await this.#store.reports.store(batch);
    for (const host of hosts) host.acknowledge(acknowledged.get(host.name) ?? 0);
    if (batch.some(({ state }) => movesRollout(state))) this.hint();
  }

  ready(host: SimulatedHost, epoch: number): void {
    this.#ready.set(host, epoch);
    this.hint();
  }

  /** What could have been a hint is lost every fifth time: the poll finds it. */
  hint(): void {
    this.#tickIn(this.#deps.random.chance(0.2) ? POLL_MS : this.#deps.hintMs);
  }

  /** It was not killed again before its agents were back. */
  get isCalm(): boolean {
    const [first = -Infinity, second] = this.#killedAt;
    return second === undefined || first < this.#clock.now() - 5 * MINUTE;
  }

  /** Also without a hint, while there is something to decide. */
  poll(): void {
    const { rollout } = this.fleet;
    if (rollout !== undefined && !isEndedRollout(rollout.state)) this.#tickIn(POLL_MS);
  }

  #tickIn(ms: number): void {
    const at = this.#deps.timeline.now + ms;
    if (at >= this.#tickAt) return;
    this.#tickAt = at;
    this.#deps.timeline.at(at, async () => {
      if (this.#tickAt !== at) return;
      this.#tickAt = Infinity;
      await this.#alive(async () => await this.#tick());
      if (!this.#isUp) this.#tickIn(POLL_MS);
    });
  }

  async #tick(): Promise<void> {
    const { administer, fleetStore } = this.#deps;
    this.ticks += 1;
    // What was reported before is part of the look.
    await this.#flush();
    const { fleet, dueInMs } = await this.#engine.tick(await this.#store.hosts.fleet(fleetStore.repositoryId));
    this.fleet = fleet;
    await this.#steer(fleet);
    await this.#admit();
    await administer(fleet);
    if (dueInMs !== undefined || this.#ready.size > 0) this.#tickIn(Math.max(POLL_MS, dueInMs ?? 0));
  }

  /** As Steering does, without its troubles. */
  async #steer({ hosts }: Fleet): Promise<void> {
    const over = hosts.flatMap(({ trial }) => (trial !== undefined && trial.endsAt <= this.#clock.now() ? [trial] : []));
    for (const trial of over) await this.#store.hosts.endTrial(trial, 'its time has come', this.#clock.now());
    if (over.length > 0) this.hint();
    const wanted: { readonly each: FleetHost; readonly release: ReleaseRef }[] = [];
    for (const each of hosts) {
      if (each.desired.kind !== 'release') continue;
      const { release } = each.desired;
      if (each.desired.because === 'trial') {
        this.#tellTrial(each, release);
        continue;
      }
      const { desired, host } = each.row;
      // Of most there is no news: it was told on this connection, or is away.
      const isTold = desired?.releaseId === release.id && (this.#sessions.get(host)?.offered ?? desired.epoch) === desired.epoch;
      if (!isTold) wanted.push({ each, release });
    }
    const news = wanted.filter(({ each, release }) => each.row.desired?.releaseId !== release.id);
    const moved = new Map<HostName, number>();
    if (news.length > 0) {
      const releases = news.map(({ each, release }) => ({ ...release, epoch: each.row.epoch, permit: permitOf(each) }));
      for (const { host, epoch } of await this.#store.hosts.desire(releases, this.#clock.now())) moved.set(host, epoch);
    }
    for (const { each, release } of wanted) {
      const session = this.#sessions.get(each.row.host);
      const isNews = each.row.desired?.releaseId !== release.id;
      const epoch = isNews ? moved.get(each.row.host) : each.row.desired?.epoch;
      if (session === undefined || epoch === undefined || session.offered === epoch) continue;
      session.offered = epoch;
      const { toplevel, sequence } = release;
      const isRetry = each.row.retryEpoch !== undefined;
      this.#deps.onDirective(session.host, each);
      this.#send(session.host, session.id, () => session.host.receive({ epoch, isRetry, sequence, toplevel }));
    }
  }

  /** Beside what the fleet has for the host, which stays as it is written. */
  #tellTrial(each: FleetHost, { sequence, toplevel }: ReleaseRef): void {
    const { row, trial } = each;
    const session = this.#sessions.get(row.host);
    if (trial === undefined || trial.endsAt <= this.#clock.now() || session === undefined || session.offered === row.epoch) return;
    const { epoch } = row;
    session.offered = epoch;
    this.#deps.onDirective(session.host, each);
    this.#send(session.host, session.id, () => session.host.receive({ epoch, isRetry: false, sequence, toplevel, trialEndsAt: trial.endsAt }));
  }

  #send(host: SimulatedHost, session: string, deliver: () => void): void {
    this.#deps.timeline.after(this.#deps.random.between(0.1, 1) * SECOND, () => {
      if (host.session === session) deliver();
    });
  }

  /** Whoever is ready asks again from time to time: as many as get their `go`, and a few of each kind that have to wait. */
  async #admit(): Promise<void> {
    const refused = new Map<string, number>();
    if (this.#ready.size === 0) return;
    const byName = new Map(this.fleet.hosts.map((each) => [each.row.host, each]));
    for (const [host, epoch] of this.#ready) {
      const { state, directive } = host.journal;
      const session = this.#sessions.get(host.name);
      if (session === undefined || state !== 'STAGED' || directive?.epoch !== epoch) {
        this.#ready.delete(host);
        continue;
      }
      const kind = `${this.fleet.rollout?.rings?.get(host.name)} ${directive.release.sequence}`;
      if ((refused.get(kind) ?? 0) >= 3) continue;
      if (await this.#admission.mayActivate(host.name, epoch)) {
        this.#ready.delete(host);
        this.#deps.onGo(host, byName.get(host.name));
        this.#send(host, session.id, () => host.go(epoch));
      } else refused.set(kind, (refused.get(kind) ?? 0) + 1);
    }
  }

  /** Does it, unless the server is down; killed in the middle of it, what is left is not done. */
  async #alive(work: () => Promise<void>): Promise<void> {
    if (!this.#isUp) return;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof ServerKilled)) throw error;
      this.kill();
    }
  }

  /** Everybody has to connect again, when it is back. */
  kill(): void {
    if (!this.#isUp) return;
    this.kills += 1;
    this.#killedAt = [...this.#killedAt, this.#clock.now()].slice(-2);
    this.#isUp = false;
    this.#unread.clear();
    this.#ready.clear();
    const hosts = [...this.#sessions.values()].map(({ host }) => host);
    this.#sessions.clear();
    for (const host of hosts) host.dropped();
    this.#deps.timeline.after(10 * SECOND, async () => {
      const { store, repositoryId } = this.#deps.fleetStore;
      await store.hosts.disconnectAll(undefined, this.#clock.now());
      this.fleet = await store.hosts.fleet(repositoryId);
      this.#isUp = true;
      // As Steering begins: most agents are not back yet.
      this.#tickIn(0);
    });
  }
}
