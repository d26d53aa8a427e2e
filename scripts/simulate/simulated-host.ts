import {
  acceptedSequence,
  decide,
  emptyJournal,
  isTrialOpen,
  TRIAL_OVER,
  type AgentDirective,
  type AgentEffect,
  type AgentEvent,
  type AgentJob,
  type AgentJournal,
  type AgentState,
  type HostName,
  type Observed,
  type StorePath,
} from '@floe/model';
import type { StoredReport } from '@floe/store';
import { assert } from './assert.ts';
import type { Random } from './random.ts';
import type { Timeline } from './timeline.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** So long an agent looks for its server, before it rolls back a system that lost it. */
const CONTACT_MS = 10 * MINUTE;
const REPOSITORY = { repository: 'fleet', ref: 'main' } as const;

/** Whatever it did last has come to its end, or runs as a trial. */
const SETTLED: ReadonlySet<AgentState> = new Set<AgentState>(['SUCCEEDED', 'ROLLED_BACK', 'TRYING', 'IDLE', 'REJECTED']);

/** What the server says, without what is signed. */
export interface ToldDirective extends Pick<AgentDirective, 'epoch' | 'isRetry'> {
  readonly sequence: number;
  readonly toplevel: StorePath;
  /** It is a trial, until then. */
  readonly trialEndsAt?: number | undefined;
}

/** What happens to a host when it activates a system. */
export type Fate = 'works' | 'fails' | 'loses-network';

/** The server, as a host's connection reaches it. Everything arrives later, or is lost with the connection. */
export interface HostsServer {
  hello(host: SimulatedHost): void;
  /** There are reports. */
  said(host: SimulatedHost): void;
  ready(host: SimulatedHost, epoch: number): void;
  lost(host: SimulatedHost): void;
}

export interface HostDeps {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly server: HostsServer;
  readonly fateOf: (toplevel: StorePath) => Fate;
  readonly onActivating: (host: SimulatedHost, toplevel: StorePath) => void;
  /** It begins to change, or to go back. */
  readonly onChanging: () => void;
  readonly onSettled: (host: SimulatedHost) => void;
}

export interface HostMachine {
  readonly isLaptop: boolean;
  readonly labels: readonly string[];
  readonly timeZone: string;
}

/**
 * A machine with an agent: the real agent's decide() over its journal, jobs that take virtual time, and reports that are kept until the
 * server has them. A job needs the machine awake.
 */
export class SimulatedHost {
  /** By which the server knows it. */
  name: HostName;
  /** Of the machine: it never changes. */
  readonly id: string;
  readonly isLaptop: boolean;
  readonly labels: readonly string[];
  readonly timeZone: string;
  isAwake = false;
  /** Nobody switches it on any more. */
  #isGone = false;
  /** Since when, at the earliest. */
  awakeSince = 0;
  /** Since when it can connect, at the earliest. */
  onlineSince = 0;
  hasNetwork = true;
  /** Somebody pulled its cable. */
  isCutOff = false;
  /** The connection, while there is one. */
  session: string | undefined;
  runs: StorePath | undefined;
  journal: AgentJournal;
  readonly queue: StoredReport[] = [];
  /** Epochs of the directives that came, each once. */
  readonly directed = new Set<number>();
  /** What it ever ran. */
  readonly ran = new Set<StorePath>();
  /** Since when it ran what. */
  readonly arrivedAt = new Map<StorePath, number>();
  /** What it rolled back. */
  readonly rolledBack = new Set<StorePath>();
  /** What its agent committed: it is the system of its next start, too. */
  readonly committed = new Set<StorePath>();
  /** What it refused to try before it looked at it. */
  readonly refused = new Set<StorePath>();
  /** The highest sequence that it was told. */
  told = 0;
  /** What it must not get past. */
  stone: { readonly sequence: number; readonly toplevel: StorePath } | undefined;
  readonly #deps: HostDeps;
  #profile: StorePath | undefined;
  #seq = 0;
  #asks: number | undefined;
  #fate: Fate = 'works';
  #saidLater = false;
  /** What was scheduled for a job that was stopped has no effect. */
  #turn = 0;

  constructor(name: HostName, id: string, { isLaptop, labels, timeZone }: HostMachine, deps: HostDeps) {
    this.name = name;
    this.id = id;
    this.isLaptop = isLaptop;
    this.labels = labels;
    this.timeZone = timeZone;
    this.#deps = deps;
    this.journal = emptyJournal(deps.timeline.now);
    // From whoever installed the machine.
    this.runs = `/nix/store/${'0'.repeat(32)}-${id}-installed` as StorePath;
    this.#profile = this.runs;
  }

  get isOnline(): boolean {
    return this.isAwake && this.hasNetwork && !this.isCutOff;
  }

  /** Between the first change and the verdict. */
  get isChanging(): boolean {
    return this.journal.state === 'ACTIVATING' || this.journal.state === 'VERIFYING' || this.journal.state === 'ROLLING_BACK';
  }

  /** It has something newer to do, and does not change yet. */
  get isWaiting(): boolean {
    const { state } = this.journal;
    return state === 'DOWNLOADING' || state === 'STAGED' || state === 'DEFERRED' || state === 'PRECHECK';
  }

  get seq(): number {
    return this.#seq;
  }

  get acceptedSequence(): number {
    return acceptedSequence(this.journal, REPOSITORY.repository, REPOSITORY.ref);
  }

  observe(): Observed {
    const { runs } = this;
    return { current: runs ?? null, booted: null, profile: this.#profile === undefined ? null : { generation: 1, toplevel: this.#profile } };
  }

  /** Something else has its disk. */
  retire(): void {
    this.#isGone = true;
    this.sleep();
  }

  wake(): void {
    if (this.#isGone) return;
    this.isAwake = true;
    this.awakeSince = this.#deps.timeline.now;
    this.onlineSince = this.awakeSince;
    this.#deps.server.hello(this);
  }

  sleep(): void {
    this.isAwake = false;
    this.#hangUp();
  }

  cutOff(): void {
    this.isCutOff = true;
    this.#hangUp();
  }

  plugIn(): void {
    this.isCutOff = false;
    this.onlineSince = this.#deps.timeline.now;
    this.#deps.server.hello(this);
  }

  /** The server ended the connection: it tries again, at its own pace. */
  dropped(): void {
    this.session = undefined;
    this.#deps.timeline.after(this.#deps.random.between(20, 80) * SECOND, () => this.#deps.server.hello(this));
  }

  #hangUp(): void {
    this.#deps.server.lost(this);
    this.session = undefined;
  }

  /** The welcome: what waits is said, and asked, again. */
  welcomed(session: string): void {
    this.session = session;
    if (this.queue.length > 0) this.#deps.server.said(this);
    if (this.#asks !== undefined) this.#deps.server.ready(this, this.#asks);
  }

  /** The server has everything up to this report. */
  acknowledge(seq: number): void {
    while ((this.queue[0]?.seq ?? Infinity) <= seq) this.queue.shift();
  }

  receive({ epoch, isRetry, sequence, toplevel, trialEndsAt }: ToldDirective): void {
    this.directed.add(epoch);
    const release = { ...REPOSITORY, commit: '0'.repeat(40) as AgentDirective['release']['commit'], sequence, toplevel, closureSizeBytes: 1 };
    const directive = { epoch, isRetry, mode: 'activate', release, envelope: '' } as const;
    if (trialEndsAt === undefined) {
      this.told = Math.max(this.told, sequence);
      return this.#dispatch({ type: 'offered', directive: { ...directive, trial: null }, freshness: null });
    }
    // Found before the agent decides: what it rolled back is not tried.
    if (epoch > this.journal.epoch && this.journal.quarantined.includes(toplevel)) {
      this.refused.add(toplevel);
      return this.#dispatch({ type: 'refused', epoch, toplevel, detail: { code: 'QUARANTINED', message: 'it was rolled back here' } });
    }
    const accepted = this.acceptedSequence;
    const trial = { endsAt: trialEndsAt, endsAtUptimeMs: trialEndsAt, bootId: 'boot' };
    this.#dispatch({ type: 'offered', directive: { ...directive, trial }, freshness: null });
    assert(this.acceptedSequence === accepted, `A12: ${this.name} accepts the sequence of a trial`);
    this.#deps.timeline.at(trialEndsAt, () => this.#endTrial(epoch));
  }

  /** The agent looks for the end, with or without a network. While a system is switched or checked it comes after that. */
  #endTrial(epoch: number): void {
    const { directive, pending, state } = this.journal;
    if (pending?.epoch !== epoch && (directive?.epoch !== epoch || state === 'IDLE' || state === 'REJECTED')) return;
    if (this.isAwake && directive?.epoch === epoch && isTrialOpen(this.journal))
      return this.#dispatch({ type: 'trial-over', epoch, detail: { code: TRIAL_OVER, message: 'the trial ended at the time that it was given' } });
    this.#deps.timeline.after(MINUTE, () => this.#endTrial(epoch));
  }

  go(epoch: number): void {
    this.#asks = undefined;
    this.#dispatch({ type: 'go', epoch });
  }

  #dispatch(event: AgentEvent): void {
    const before = this.journal.state;
    const { isChanging } = this;
    const { journal, effects } = decide(this.journal, event, this.#deps.timeline.now);
    this.journal = journal;
    if (this.isChanging && !isChanging) this.#deps.onChanging();
    // An effect may have it go on with what waited.
    if (before !== journal.state && SETTLED.has(journal.state)) this.#deps.onSettled(this);
    for (const effect of effects) this.#run(effect);
  }

  #run(effect: AgentEffect): void {
    const { epoch } = this.journal.directive ?? { epoch: 0 };
    switch (effect.type) {
      case 'report':
        return this.#report(effect);
      case 'stop-job':
        this.#turn += 1;
        this.#asks = undefined;
        return undefined;
      case 'start-job':
        return this.#start(effect.job, epoch);
      case 'ask':
        this.#asks = epoch;
        if (this.session !== undefined) this.#deps.server.ready(this, epoch);
        return undefined;
      case 'retry-later':
        return this.#whenAwake(effect.pace === 'soon' ? MINUTE : 10 * MINUTE, () => this.#dispatch({ type: 'retry-due', epoch }));
      case 'look-again':
        return this.#whenAwake((effect.until ?? 0) - this.#deps.timeline.now, () => this.#dispatch({ type: 'retry-due', epoch }));
      case 'take-pending':
        return this.#dispatch({ type: 'pending-due' });
      case 'take-pending-at':
        return this.#whenAwake(effect.at - this.#deps.timeline.now, () => this.#dispatch({ type: 'pending-due' }));
      case 'tidy':
      case 'await-reboot':
        return undefined;
    }
  }

  #report({ state, epoch, toplevel, detail }: Extract<AgentEffect, { type: 'report' }>): void {
    this.#seq += 1;
    const at = this.#deps.timeline.now;
    const report = { host: this.name, seq: this.#seq, epoch, state, toplevel, observed: this.observe(), at, receivedAt: at };
    this.queue.push(detail === null ? report : { ...report, detail });
    if (this.session !== undefined) this.#deps.server.said(this);
  }

  #start(job: AgentJob, epoch: number): void {
    const { random, timeline } = this.#deps;
    const toplevel = this.journal.directive?.release.toplevel;
    if (toplevel === undefined) return;
    this.#turn += 1;
    const timed = { epoch, tookMs: 1 };
    switch (job) {
      case 'inspect':
        this.#saidLater = false;
        return this.#dispatch({ type: 'inspected', epoch, isOnTarget: this.runs === toplevel && this.#profile === toplevel });
      case 'download':
        return this.#whenAwake(random.between(1, 8) * MINUTE, () => this.#dispatch({ type: 'downloaded', ...timed }));
      case 'assess': {
        // One user in ten says "later", once.
        const isLater = this.isLaptop && !this.#saidLater && random.chance(0.1);
        this.#saidLater ||= isLater;
        const detail = { code: 'LATER', message: 'a user said "later"' };
        const wait = isLater ? { detail, until: timeline.now + random.between(1, 4) * HOUR } : null;
        return this.#dispatch({ type: 'assessed', epoch, impact: 'units', wait });
      }
      case 'precheck': {
        const before = { toplevel: this.runs ?? null, profile: this.#profile ?? null, failedUnits: [], serverUrl: null, cache: null };
        return this.#dispatch({ type: 'cleared', epoch, how: 'switch', before });
      }
      case 'activate':
        return this.#activate(toplevel, epoch);
      case 'verify':
        return this.#verify(epoch);
      case 'commit':
        assert(this.journal.directive?.trial === null, `A12: ${this.name} commits what it tries`);
        this.#profile = toplevel;
        this.committed.add(toplevel);
        return this.#dispatch({ type: 'committed', ...timed });
      case 'roll-back':
        this.runs = this.journal.before?.toplevel ?? undefined;
        this.#profile = this.journal.before?.profile ?? undefined;
        if (!this.hasNetwork) {
          this.hasNetwork = true;
          this.onlineSince = this.#deps.timeline.now;
          this.#deps.server.hello(this);
        }
        return this.#dispatch({ type: 'rolled-back', ...timed, hasContact: true });
      case 'stage-boot':
      case 'reboot':
        return undefined;
    }
  }

  #activate(toplevel: StorePath, epoch: number): void {
    const { random, fateOf, onActivating } = this.#deps;
    this.#fate = fateOf(toplevel);
    onActivating(this, toplevel);
    this.#whenAwake(random.between(0.5, 1.5) * MINUTE, () => {
      this.runs = toplevel;
      if (this.journal.directive?.trial === null) this.ran.add(toplevel);
      if (this.#fate === 'loses-network') {
        this.hasNetwork = false;
        this.#hangUp();
      }
      this.#dispatch({ type: 'switched', epoch, tookMs: 1 });
    });
  }

  #verify(epoch: number): void {
    const timed = { epoch, tookMs: 1 };
    const detail = { code: 'HEALTH_CHECK_FAILED', message: 'it does not work' };
    const isLost = this.#fate === 'loses-network';
    this.#whenAwake(isLost ? CONTACT_MS : this.#deps.random.between(0.5, 1.5) * MINUTE, () =>
      this.#dispatch(
        this.#fate === 'works'
          ? { type: 'verified', ...timed, note: null }
          : { type: 'verify-failed', ...timed, isContactLost: isLost, detail: isLost ? { code: 'NO_CONTACT', message: 'no contact' } : detail },
      ),
    );
  }

  /** After so long, once the machine is awake: a laptop that is closed does nothing. */
  #whenAwake(ms: number, run: () => void): void {
    const turn = this.#turn;
    const tryIt = (): void => {
      if (turn !== this.#turn) return;
      if (this.isAwake) run();
      else this.#deps.timeline.after(10 * MINUTE, tryIt);
    };
    this.#deps.timeline.after(ms, tryIt);
  }
}
