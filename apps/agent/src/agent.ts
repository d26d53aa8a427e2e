import { isActivating, isPreparing, NOTHING_OBSERVED, withoutFuture, type AgentEffect, type AgentEvent, type AgentJournal } from '@floe/model';
import { helloBytes, PROTOCOL_VERSION, type AgentPolicy, type Envelope, type Hello, type TrustedKey, type Welcome } from '@floe/protocol';
import { verifySignature, type Exec } from '@floe/runtime';
import { isBelieved, judgeDirective } from './server/admission.ts';
import type { Conditions } from './when/conditions.ts';
import { Connection, type ConnectionHandlers } from './server/connection.ts';
import { isNetworkThere, type Contact, type ServerStanding } from './server/contact.ts';
import { MissedServer } from './engine/missed-server.ts';
import { TimeQuestion } from './server/time-question.ts';
import type { Identity } from './server/identity.ts';
import { Inbox } from './engine/inbox.ts';
import { MachineWatch } from './engine/machine-watch.ts';
import type { SteeredAgent } from './local/user-requests.ts';
import { Steps, type StepsDeps } from './engine/steps.ts';
import type { WorkDeps, WorkSettings } from './jobs/job.ts';
import { performWork } from './jobs/perform.ts';
import { findUnfinished } from './jobs/unfinished.ts';
import { Workbench } from './engine/workbench.ts';

/** What the machine has is compared with what was last told this often. */
const DRIFT_CHECK_MS = 5_000;
/** A change under way is brought to its verdict for so long when the agent is stopped. */
const STOP_GRACE_MS = 10_000;
/** A release whose branch was last vouched for longer ago than this is old news, and said to be. */
const STALE_MS = 3 * 24 * 3600 * 1000;
/** A machine's clock that is this far from the server's is worth a word. */
const CLOCK_DIFFERS_MS = 5 * 60_000;
const PROGRESS_EVERY_MS = 500;

interface AgentSettings extends WorkSettings {
  readonly releaseKeys: readonly TrustedKey[];
  readonly serverKeys: readonly TrustedKey[];
  readonly repository: string | undefined;
  readonly slowRetryMs: number;
  /** Through which the server is reached; undefined: directly. */
  readonly proxy: URL | undefined;
  readonly agentVersion: string;
}

export interface AgentDeps extends Omit<StepsDeps, 'sendReport' | 'perform' | 'now' | 'stopping'> {
  readonly settings: AgentSettings;
  readonly identity: Identity;
  readonly conditions: Conditions;
  /** The policy of the system that runs. */
  readonly readPolicy: () => Promise<AgentPolicy>;
  readonly ensureEnrolled: (signal: AbortSignal) => Promise<void>;
  readonly enrolAnew: (signal: AbortSignal) => Promise<boolean>;
  readonly exec: Exec;
}

/** The daemon: what the server, the people, the machine and its own work tell it becomes events, and their effects are done. */
export class Agent implements SteeredAgent {
  readonly #deps: AgentDeps;
  readonly #inbox = new Inbox();
  readonly #bench: Workbench;
  readonly #watch: MachineWatch;
  readonly #connection: Connection;
  readonly #timeQuestion: TimeQuestion;
  readonly #bugs = Promise.withResolvers<never>();
  readonly #stopping = new AbortController();
  readonly #steps: Steps;
  /** What came of the newest directive, and on which connection it was. */
  #judged: { readonly nonce: string; readonly isBelieved: boolean } | undefined;
  #progressAt = Number.NEGATIVE_INFINITY;

  constructor(deps: AgentDeps) {
    const { settings, machine, exec, clock, logger, random } = deps;
    this.#deps = deps;
    this.#steps = new Steps({
      ...deps,
      sendReport: (report) => this.#connection.send({ type: 'report', ...report }),
      perform: async (effect) => await this.#perform(effect),
      now: () => this.now(),
      stopping: this.#stopping.signal,
    });
    this.#connection = new Connection({
      serverUrl: settings.serverUrl,
      proxy: settings.proxy,
      slowRetryMs: settings.slowRetryMs,
      handlers: this.#handlers(),
      clock,
      logger,
      random,
    });
    this.#timeQuestion = new TimeQuestion({ clock, logger, reconnect: () => this.#connection.reconnect() });
    this.#watch = new MachineWatch({
      ...deps,
      missedServer: this.#missedServerOf(deps),
      journal: () => this.journal,
      told: () => this.#steps.told,
      step: async (event) => await this.#steps.step(event),
      hurry: () => this.#bench.hurry(),
      isBusy: () => this.#bench.isBusy,
      now: () => this.now(),
    });
    const work: WorkDeps = {
      machine,
      exec,
      clock,
      logger,
      settings,
      now: () => this.now(),
      contact: async (timeoutMs, signal) => await this.#contact(timeoutMs, signal),
      holdDownload: async (current) => await deps.conditions.holdDownload(current, this.now()),
      assess: async (current, directive, signal) => await deps.conditions.assess(current, directive, this.now(), signal),
      onProgress: (epoch, progress) => this.#tellProgress(epoch, progress.doneBytes, progress.totalBytes),
    };
    this.#bench = new Workbench({
      perform: async (name, journal, signal) => await performWork(name, work, journal, signal),
      mayReboot: async () => await deps.conditions.mayReboot(this.journal, this.now(), { isTimeKnown: this.#connection.serverNow !== undefined }),
      now: () => this.now(),
      sayReady: (epoch) => this.#connection.send({ type: 'ready', epoch }),
      dispatch: (event) => this.#dispatch(event),
      onBug: (error) => this.#bugs.reject(error),
      switchesOutliveAgent: machine.switchesOutliveAgent,
      clock,
      random,
    });
  }

  #missedServerOf({ machine, clock, settings }: AgentDeps): MissedServer {
    return new MissedServer({
      machine,
      clock,
      limitMs: settings.serverLimitMs,
      standing: () => this.#serverStanding(),
      reach: async () => (await this.#connection.renew(settings.contactTimeoutMs, this.#stopping.signal)) === 'welcomed',
      isNetworkThere: async () => await isNetworkThere(settings.substituters, this.#stopping.signal),
    });
  }

  get journal(): AgentJournal {
    return this.#steps.journal;
  }

  get connection(): SteeredAgent['connection'] {
    return { isConnected: this.#connection.isWelcomed, since: this.#connection.since };
  }

  async ask(event: AgentEvent): Promise<boolean> {
    const decided = Promise.withResolvers<boolean>();
    this.#inbox.add(async () => decided.resolve(await this.#steps.step(event)));
    return await decided.promise;
  }

  onStep(listener: () => void): () => void {
    return this.#steps.onStep(listener);
  }

  /** Runs until `signal` aborts; throws on a bug. */
  async run(signal: AbortSignal): Promise<void> {
    const ended = new AbortController();
    signal.addEventListener('abort', () => this.#stopping.abort(), { once: true });
    if (signal.aborted) this.#stopping.abort();
    const inbox = this.#inbox.run(ended.signal);
    this.#inbox.add(async () => await this.#start(this.#stopping.signal));
    const stopped = new Promise<void>((resolve) => this.#stopping.signal.addEventListener('abort', () => resolve(), { once: true }));
    // The connection stays until a change under way has its verdict, which asks for contact.
    const leaving = new AbortController();
    const always = [this.#connect(leaving.signal), this.#watchDrift(this.#stopping.signal)];
    try {
      if (!this.#stopping.signal.aborted) await Promise.race([stopped, ...always, inbox, this.#bugs.promise]);
      await this.#bench.stop(STOP_GRACE_MS, () => this.journal.state !== 'PRECHECK' && isActivating(this.journal.state));
    } finally {
      this.#stopping.abort();
      this.#bench.stopWork();
      leaving.abort();
      ended.abort();
    }
    await Promise.all([inbox, ...always]);
  }

  async #connect(signal: AbortSignal): Promise<void> {
    await this.#deps.ensureEnrolled(signal);
    await this.#connection.run(signal);
  }

  /** The first event: what a stop or a crash left. */
  async #start(signal: AbortSignal): Promise<void> {
    const { machine, logger } = this.#deps;
    const { state, directive } = this.journal;
    // What changed while no agent was there, the hello tells.
    if (this.#steps.told === NOTHING_OBSERVED) this.#steps.told = await machine.observe();
    logger.info('started', { state, epoch: this.journal.epoch, toplevel: directive?.release.toplevel ?? null });
    // Before anything is staged once more: somebody may have switched it by hand, which is what restarted this agent.
    if (state === 'BOOT_STAGED' || isPreparing(this.journal)) await this.#watch.look(true);
    if (this.journal.state !== state) return;
    const found = await findUnfinished({ machine, now: () => this.now() }, this.journal, signal).catch((error: unknown): AgentEvent => {
      logger.error('what an earlier run left cannot be found out', { error });
      return { type: 'restarted', isNewBoot: false, isOnTarget: false, fellBack: false };
    });
    if (signal.aborted) return;
    await this.#steps.step(found);
    await this.#watch.look(true);
  }

  /** The server's clock where it is known: what a person's deadline is measured by must not jump with the machine's. */
  now(): number {
    return Math.round(this.#connection.serverNow ?? this.#deps.clock.now());
  }

  async #contact(timeoutMs: number, signal: AbortSignal): Promise<Contact> {
    const { clock, settings } = this.#deps;
    const deadline = clock.monotonic() + timeoutMs;
    const renewed = await this.#connection.renew(timeoutMs, signal);
    if (renewed === 'refused') return 'refused';
    if (renewed !== 'welcomed') return (await isNetworkThere(settings.substituters, signal)) ? 'network' : 'none';
    while (!signal.aborted && clock.monotonic() < deadline) {
      const standing = this.#serverStanding();
      if (standing === 'server' || standing === 'refused') return standing;
      await clock.sleep(10, signal);
    }
    // It proves nothing of what this system pins: as with a server that is away, the local checks decide.
    return 'silent';
  }

  /**
   * By the connection that there is now. Each brings the directive once more: a system that pins other keys, another host or
   * another repository would never take one again, and nobody could mend that.
   */
  #serverStanding(): ServerStanding {
    if (!this.#connection.isWelcomed) return 'away';
    if (this.#judged === undefined || this.#judged.nonce !== this.#connection.nonce) return 'silent';
    return this.#judged.isBelieved ? 'server' : 'refused';
  }

  #dispatch(event: AgentEvent): void {
    this.#inbox.add(async () => await this.#stepOn(event));
  }

  /** What somebody chose at the machine in the last seconds comes first: the step may lead to a change of it. */
  async #stepOn(event: AgentEvent): Promise<void> {
    if (isPreparing(this.journal)) await this.#watch.lookForDrift();
    await this.#steps.step(event);
  }

  async #perform(effect: AgentEffect): Promise<void> {
    const { machine } = this.#deps;
    const epoch = this.journal.directive?.epoch ?? 0;
    switch (effect.type) {
      case 'report':
        break;
      case 'stop-work':
        this.#bench.stopWork();
        break;
      case 'work':
        this.#bench.begin(effect.work, this.journal);
        break;
      case 'ask':
        this.#bench.ask(epoch);
        break;
      case 'retry-later':
        this.#bench.retryLater(effect.pace, effect.attempt, epoch);
        break;
      case 'look-again':
        this.#bench.lookAgain(effect.until, epoch);
        break;
      case 'await-reboot':
        this.#bench.awaitReboot(epoch);
        break;
      case 'take-pending-at':
        this.#bench.takePendingAt(effect.at);
        break;
      case 'take-pending':
        this.#dispatch({ type: 'pending-due' });
        break;
      case 'tidy':
        await Promise.all([machine.letGo('next'), machine.letGo('before'), machine.guard?.forget()]).catch((error: unknown) => {
          this.#deps.logger.warn('what was held for an activation could not be removed', { error });
        });
        break;
    }
  }

  #handlers(): ConnectionHandlers {
    return {
      hello: async (nonce) => await this.#hello(nonce),
      welcomed: (welcome) => this.#inbox.add(async () => await this.#welcomed(welcome)),
      directive: (envelope, nonce) => this.#inbox.add(async () => await this.#admit(envelope, nonce)),
      go: (epoch, leaseMs) => this.#goAhead(epoch, leaseMs),
      acknowledged: (seq) => this.#inbox.add(async () => await this.#deps.reports.acknowledge(seq)),
      refused: async () => await this.#deps.enrolAnew(this.#stopping.signal),
    };
  }

  /** What waited too long, behind a disk that hangs or over a sleep, is let go of: the question is asked again anyway. */
  #goAhead(epoch: number, leaseMs: number): void {
    const { clock, logger } = this.#deps;
    const endsAt = clock.sinceBoot() + leaseMs;
    this.#inbox.add(async () => {
      if (clock.sinceBoot() <= endsAt) await this.#stepOn({ type: 'go', epoch });
      else logger.warn("the server's go was over before it could be followed; it is asked for again", { epoch, leaseMs });
    });
  }

  async #hello(nonce: string): Promise<Hello> {
    const { identity, machine, settings } = this.#deps;
    const { host, machineId, bootId, system, signer } = identity;
    const { state, directive, epoch, sequences, nextReportSeq } = this.journal;
    const observed = await machine.observe();
    this.#steps.told = observed;
    return {
      type: 'hello',
      protocol: PROTOCOL_VERSION,
      agentVersion: settings.agentVersion,
      host,
      machineId,
      bootId,
      system,
      signature: signer.sign(helloBytes({ nonce, host, machineId, bootId })),
      observed,
      state,
      toplevel: directive?.release.toplevel ?? null,
      epoch,
      sequence: Math.max(0, ...sequences.map(({ sequence }) => sequence)),
      reportSeq: nextReportSeq - 1,
      capabilities: [],
    };
  }

  async #welcomed(welcome: Welcome): Promise<void> {
    const { reports, logger, clock } = this.#deps;
    const differenceMs = welcome.serverTime - clock.now();
    if (Math.abs(differenceMs) > CLOCK_DIFFERS_MS)
      logger.warn("this machine's clock and the server's differ; the server's is used to judge what expired", { differenceMs });
    const corrected = withoutFuture(this.journal, Math.max(welcome.serverTime, clock.now()));
    if (corrected !== this.journal && !(await this.#steps.save(corrected))) return;
    if (welcome.reportSeq >= this.journal.nextReportSeq) {
      // The server has reports that this journal knows nothing of: the journal was lost. Number on from there.
      const nextReportSeq = await reports.renumber(welcome.reportSeq + 1);
      const report = reports.waiting.at(-1) ?? null;
      if (!(await this.#steps.save({ ...this.journal, nextReportSeq, report }))) return;
    } else {
      await reports.acknowledge(welcome.reportSeq);
    }
    for (const report of reports.waiting) this.#connection.send({ type: 'report', ...report });
    this.#bench.askAgain();
    // The network is there again, and with it most likely the cache; or the machine slept, and its window may be open.
    if (this.journal.state === 'DOWNLOADING' || this.journal.state === 'DEFERRED') this.#bench.hurry();
  }

  async #admit(envelope: Envelope, nonce: string): Promise<void> {
    const { settings, identity, logger } = this.#deps;
    const { serverNow } = this.#connection;
    // The connection ended meanwhile: the directive was for it alone, and comes again on the next.
    if (serverNow === undefined) return;
    const { host, machineId, system } = identity;
    const { releaseKeys, serverKeys, repository } = settings;
    const admission = judgeDirective(envelope, {
      host,
      machineId,
      system,
      nonce,
      serverNow,
      machineNow: this.#deps.clock.now(),
      releaseKeys,
      serverKeys,
      repository,
      journal: this.journal,
      verify: verifySignature,
    });
    this.#judged = { nonce, isBelieved: isBelieved(admission) };
    if (admission.kind === 'known') return;
    if (admission.kind === 'refused') {
      await this.#steps.step({ type: 'refused', epoch: admission.epoch, toplevel: admission.toplevel, detail: admission.detail });
      if (admission.detail.code === 'DIRECTIVE_EXPIRED') this.#timeQuestion.ask();
      return;
    }
    const { directive, freshness } = admission;
    logger.info('directive accepted', { epoch: directive.epoch, mode: directive.mode, ...directive.release });
    if (freshness !== null && serverNow - freshness.asOf > STALE_MS) {
      logger.warn('the newest word of the builder about this branch is old: is it running?', { asOf: new Date(freshness.asOf).toISOString() });
    }
    // As in `#stepOn`, and of whatever state: what it reports would be what is expected.
    await this.#watch.lookForDrift();
    await this.#steps.step({ type: 'offered', directive, freshness });
  }

  #tellProgress(epoch: number, doneBytes: number, expectedBytes: number): void {
    const now = this.#deps.clock.monotonic();
    if (now - this.#progressAt < PROGRESS_EVERY_MS) return;
    this.#progressAt = now;
    this.#connection.send({ type: 'progress', epoch, doneBytes, expectedBytes }, { lossy: true });
  }

  async #watchDrift(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#deps.clock.sleep(DRIFT_CHECK_MS, signal);
      if (signal.aborted) return;
      this.#connection.noticeSleep();
      // As one task: between its look and its step nothing else is decided.
      this.#inbox.add(async () => await this.#watch.look());
    }
  }
}
