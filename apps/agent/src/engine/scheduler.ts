import type { AgentEvent, AgentJournal, AgentJob } from '@floe/model';
import { fullJitter, type Clock } from '@floe/runtime';
import type { RebootJudgement } from '../when/conditions.ts';

/** Jobs that end with the agent: they may take long, and run again when it starts. */
const STOPPABLE: ReadonlySet<AgentJob> = new Set(['inspect', 'download', 'assess', 'precheck']);
const PACES = { soon: { baseMs: 2_000, capMs: 5 * 60_000 }, slowly: { baseMs: 30_000, capMs: 30 * 60_000 } } as const;
/** `ready` is repeated this often until `go` comes: the server keeps no list of who asked. */
const ASK_EVERY_MS = 10_000;
/** How often conditions without a known end are checked again; no check is further away than an hour. */
const LOOK_EVERY_MS = 60_000;
const MAX_LOOK_MS = 3600_000;

export interface SchedulerDeps {
  readonly runJob: (job: AgentJob, journal: AgentJournal, signal: AbortSignal) => Promise<AgentEvent>;
  /** The clock of `until` and `at`, ms. */
  readonly now: () => number;
  readonly sendReady: (epoch: number) => void;
  readonly dispatch: (event: AgentEvent) => void;
  /** Whether the machine may restart now, and why, or why not. */
  readonly mayReboot: () => Promise<RebootJudgement>;
  /** Called with an error that no job should throw. */
  readonly onBug: (error: unknown) => void;
  /** True: a switch goes on without the agent, which need not wait for it when it stops. */
  readonly switchesOutliveAgent: boolean;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Runs one job at a time, and the waits between jobs. */
export class Scheduler {
  readonly #deps: SchedulerDeps;
  #job: { readonly name: AgentJob; readonly stop: AbortController; readonly done: Promise<void> } | undefined;
  #wait: AbortController | undefined;
  /** The epoch that `go` is asked for. */
  #askedFor: number | undefined;
  /** Ends the wait before a retry. */
  #retry: AbortController | undefined;
  #isStopping = false;

  constructor(deps: SchedulerDeps) {
    this.#deps = deps;
  }

  get isBusy(): boolean {
    return this.#job !== undefined;
  }

  /** Starts a job when the one before has ended. Its result is dispatched, unless the job was stopped. */
  startJob(name: AgentJob, journal: AgentJournal): void {
    if (this.#isStopping && STOPPABLE.has(name)) return;
    this.#endWait();
    const before = this.#job?.done;
    const stop = new AbortController();
    const done = this.#run(name, journal, stop.signal, before).finally(() => {
      if (this.#job?.stop === stop) this.#job = undefined;
    });
    this.#job = { name, stop, done };
  }

  async #run(name: AgentJob, journal: AgentJournal, signal: AbortSignal, before: Promise<void> | undefined): Promise<void> {
    await before;
    if (signal.aborted) return;
    try {
      const event = await this.#deps.runJob(name, journal, signal);
      if (!signal.aborted) this.#deps.dispatch(event);
    } catch (error) {
      if (!signal.aborted) this.#deps.onBug(error);
    }
  }

  /** Stops the job and the wait. */
  stopJob(): void {
    this.#job?.stop.abort();
    this.#endWait();
  }

  retryLater(pace: 'soon' | 'slowly', attempt: number, epoch: number): void {
    this.#retryAfter(fullJitter(attempt, PACES[pace], this.#deps.random), epoch);
  }

  /** Dispatches `retry-due` at `until`, ms; soon when null. At most an hour later, as the clock may jump. */
  lookAgain(until: number | null, epoch: number): void {
    this.#retryAfter(until === null ? LOOK_EVERY_MS : Math.min(Math.max(until - this.#deps.now(), 1_000), MAX_LOOK_MS), epoch);
  }

  #retryAfter(ms: number, epoch: number): void {
    this.#startWait(async (signal) => {
      const retry = new AbortController();
      this.#retry = retry;
      await this.#deps.clock.sleep(ms, AbortSignal.any([signal, retry.signal]));
      if (!signal.aborted) this.#deps.dispatch({ type: 'retry-due', epoch });
    });
  }

  /** Ends the wait before a retry or another look. */
  retryNow(): void {
    this.#retry?.abort();
  }

  /** Dispatches `pending-due` at `at`, ms. When that is far away, also earlier, which the state machine ignores. */
  takePendingAt(at: number): void {
    const { clock, dispatch, now } = this.#deps;
    this.#startWait(async (signal) => {
      await clock.sleep(Math.min(Math.max(at - now(), 1_000), MAX_LOOK_MS), signal);
      if (!signal.aborted) dispatch({ type: 'pending-due' });
    });
  }

  /** Asks whether the machine may restart, again and again until it may. Begins when the staging job has ended. */
  awaitReboot(epoch: number): void {
    const { clock, dispatch, mayReboot, now } = this.#deps;
    const staging = this.#job?.done;
    this.#startWait(async (signal) => {
      await staging;
      while (!signal.aborted) {
        const { isDue, detail, until } = await mayReboot();
        if (signal.aborted) return;
        dispatch({ type: isDue ? 'reboot-due' : 'reboot-waits', epoch, detail });
        if (isDue) return;
        // Users log in and out, and nobody tells the agent.
        await clock.sleep(until === null ? LOOK_EVERY_MS : Math.min(Math.max(until - now(), 1_000), LOOK_EVERY_MS), signal);
      }
    });
  }

  /** Asks the server for `go`, now and until another job or wait begins. */
  askForGo(epoch: number): void {
    this.#startWait(async (signal) => {
      this.#askedFor = epoch;
      while (!signal.aborted) {
        this.#deps.sendReady(epoch);
        await this.#deps.clock.sleep(ASK_EVERY_MS, signal);
      }
    });
  }

  /** On a new connection: asks once more what was asked on the old one. */
  repeatAsk(): void {
    if (this.#askedFor !== undefined) this.#deps.sendReady(this.#askedFor);
  }

  #startWait(wait: (signal: AbortSignal) => Promise<void>): void {
    this.#endWait();
    if (this.#isStopping) return;
    const controller = new AbortController();
    this.#wait = controller;
    void wait(controller.signal);
  }

  #endWait(): void {
    this.#askedFor = undefined;
    this.#retry = undefined;
    this.#wait?.abort();
    this.#wait = undefined;
  }

  /**
   * Stops the jobs that run again at the next start. A change of the machine gets up to `graceMs` to reach its verdict; what is
   * unfinished then, the next start finds in the journal.
   */
  async stop(graceMs: number, isChanging: () => boolean): Promise<void> {
    this.#isStopping = true;
    this.#endWait();
    if (this.#job !== undefined && (STOPPABLE.has(this.#job.name) || this.#deps.switchesOutliveAgent)) this.#job.stop.abort();
    const { clock } = this.#deps;
    const deadline = clock.monotonic() + graceMs;
    const isWaitedFor = (): boolean => isChanging() && this.#job?.stop.signal.aborted !== true && clock.monotonic() < deadline;
    const over = new AbortController();
    while (isWaitedFor()) {
      // Between two jobs none runs: the next starts once the result of the one before is in the journal.
      if (this.#job === undefined) await clock.sleep(10);
      else await Promise.race([this.#job.done, clock.sleep(deadline - clock.monotonic(), over.signal)]);
    }
    over.abort();
    const last = this.#job;
    last?.stop.abort();
    await last?.done;
  }
}
