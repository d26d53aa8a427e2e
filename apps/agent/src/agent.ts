import { isActivating, type AgentDetail, type AgentEvent, type AgentJournal } from '@floe/model';
import { createEngine, type Engine, type EngineDeps } from './engine/create-engine.ts';
import { takeFirstStep } from './engine/first-step.ts';
import type { RunningRelease } from './engine/running-release.ts';
import type { LocalAgent } from './local/user-requests.ts';

/** How long a stopped agent lets a change of the machine reach its verdict, in ms. */
const STOP_GRACE_MS = 10_000;

export interface AgentDeps extends EngineDeps {
  readonly ensureEnrolled: (signal: AbortSignal) => Promise<void>;
  /** Why this machine cannot enrol, or has no key; undefined: it can, or need not. */
  readonly enrolmentTrouble?: () => AgentDetail | undefined;
  /** Tells the machine's programs which commit runs. */
  readonly running?: RunningRelease | undefined;
}

/** The daemon: runs the parts of the engine together, from its first event to its end. */
export class Agent implements LocalAgent {
  readonly #deps: AgentDeps;
  readonly #engine: Engine;
  readonly #stopping = new AbortController();
  readonly #bugs = Promise.withResolvers<never>();

  constructor(deps: AgentDeps) {
    this.#deps = deps;
    this.#engine = createEngine(deps, this.#stopping.signal, (error) => this.#bugs.reject(error));
    this.onStep(() => deps.running?.stepped(this.journal));
  }

  get journal(): AgentJournal {
    return this.#engine.loop.journal;
  }

  get connection(): LocalAgent['connection'] {
    const { isWelcomed, since, refusal } = this.#engine.connection;
    return { isConnected: isWelcomed, since, refusal: isWelcomed ? null : (refusal ?? this.#deps.enrolmentTrouble?.() ?? null) };
  }

  async stranger(): Promise<string | null> {
    return await this.#engine.whoElse.find(this.#stopping.signal);
  }

  now(): number {
    return this.#engine.now();
  }

  async ask(event: AgentEvent): Promise<boolean> {
    const { inbox, loop } = this.#engine;
    const decided = Promise.withResolvers<boolean>();
    inbox.add(async () => decided.resolve(await loop.step(event)));
    return await decided.promise;
  }

  onStep(listener: () => void): () => void {
    return this.#engine.loop.onStep(listener);
  }

  /** Runs until `signal` aborts; throws on a bug. */
  async run(signal: AbortSignal): Promise<void> {
    const { inbox, watch, scheduler, stager } = this.#engine;
    const stopping = this.#stopping.signal;
    signal.addEventListener('abort', () => this.#stopping.abort(), { once: true });
    if (signal.aborted) this.#stopping.abort();
    const stopped = new Promise<void>((resolve) => stopping.addEventListener('abort', () => resolve(), { once: true }));
    const ended = new AbortController();
    const events = inbox.run(async (event) => await watch.stepAfterLook(event), ended.signal);
    inbox.add(async () => await takeFirstStep({ ...this.#deps, ...this.#engine }, stopping));
    // The connection stays until a change under way has its verdict, which needs contact with the server.
    const leaving = new AbortController();
    const { running } = this.#deps;
    const looking = running?.run(() => this.journal, stopping);
    const always = [this.#connect(leaving.signal), watch.run(stopping), stager.run(stopping), ...(looking === undefined ? [] : [looking])];
    try {
      if (!stopping.aborted) await Promise.race([stopped, ...always, events, this.#bugs.promise]);
      await scheduler.stop(STOP_GRACE_MS, () => this.journal.state !== 'PRECHECK' && isActivating(this.journal.state));
    } finally {
      this.#stopping.abort();
      scheduler.stopJob();
      leaving.abort();
      ended.abort();
    }
    await Promise.all([events, ...always]);
    await running?.settled();
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const { connection, conversation } = this.#engine;
    await this.#deps.ensureEnrolled(signal);
    await connection.run(conversation, signal);
  }
}
