import type { AgentEvent, AgentJournal, AgentWork } from '@floe/model';
import { fullJitter, type Clock } from '@floe/runtime';
import type { RebootJudgement } from '../when/conditions.ts';

/** What may take a while, and is done again when the agent starts: it ends with the agent. */
const STOPPABLE: ReadonlySet<AgentWork> = new Set(['inspect', 'download', 'assess', 'precheck']);
const PACES = { soon: { baseMs: 2_000, capMs: 5 * 60_000 }, slowly: { baseMs: 30_000, capMs: 30 * 60_000 } } as const;
/** `ready` is said again this often until `go` comes: the server keeps no list of who asked. */
const ASK_EVERY_MS = 10_000;
/** Conditions that end without a time that is known are looked at again this often; none is waited for longer than an hour. */
const LOOK_EVERY_MS = 60_000;
const MAX_LOOK_MS = 3600_000;

export interface WorkbenchDeps {
  readonly perform: (work: AgentWork, journal: AgentJournal, signal: AbortSignal) => Promise<AgentEvent>;
  /** The time that `until` and `at` are of, ms. */
  readonly now: () => number;
  readonly sayReady: (epoch: number) => void;
  readonly dispatch: (event: AgentEvent) => void;
  /** Whether the machine may restart now, and why, or why not. */
  readonly mayReboot: () => Promise<RebootJudgement>;
  /** Something that should not happen. */
  readonly onBug: (error: unknown) => void;
  /** True when a switch goes on without the agent, which then need not wait for it. */
  readonly switchesOutliveAgent: boolean;
  readonly clock: Clock;
  readonly random: () => number;
}

/** One job at a time, and the waits between jobs. */
export class Workbench {
  readonly #deps: WorkbenchDeps;
  #job: { readonly work: AgentWork; readonly stop: AbortController; readonly done: Promise<void> } | undefined;
  #wait: AbortController | undefined;
  #asking: number | undefined;
  #hurry: AbortController | undefined;
  #isStopping = false;

  constructor(deps: WorkbenchDeps) {
    this.#deps = deps;
  }

  get isBusy(): boolean {
    return this.#job !== undefined;
  }

  /** Begins a job when the one before has ended. Its end is dispatched, unless it was stopped. */
  begin(work: AgentWork, journal: AgentJournal): void {
    if (this.#isStopping && STOPPABLE.has(work)) return;
    this.#endWait();
    const before = this.#job?.done;
    const stop = new AbortController();
    const done = this.#run(work, journal, stop.signal, before).finally(() => {
      if (this.#job?.stop === stop) this.#job = undefined;
    });
    this.#job = { work, stop, done };
  }

  async #run(work: AgentWork, journal: AgentJournal, signal: AbortSignal, before: Promise<void> | undefined): Promise<void> {
    await before;
    if (signal.aborted) return;
    try {
      const event = await this.#deps.perform(work, journal, signal);
      if (!signal.aborted) this.#deps.dispatch(event);
    } catch (error) {
      if (!signal.aborted) this.#deps.onBug(error);
    }
  }

  /** The job and the waiting are not wanted any more. */
  stopWork(): void {
    this.#job?.stop.abort();
    this.#endWait();
  }

  retryLater(pace: 'soon' | 'slowly', attempt: number, epoch: number): void {
    this.#retryAfter(fullJitter(attempt, PACES[pace], this.#deps.random), epoch);
  }

  /** Dispatches `retry-due` at `until`, ms; soon when null. The clock may jump: it is never waited for long. */
  lookAgain(until: number | null, epoch: number): void {
    this.#retryAfter(until === null ? LOOK_EVERY_MS : Math.min(Math.max(until - this.#deps.now(), 1_000), MAX_LOOK_MS), epoch);
  }

  #retryAfter(ms: number, epoch: number): void {
    this.#startWait(async (signal) => {
      const hurry = new AbortController();
      this.#hurry = hurry;
      await this.#deps.clock.sleep(ms, AbortSignal.any([signal, hurry.signal]));
      if (!signal.aborted) this.#deps.dispatch({ type: 'retry-due', epoch });
    });
  }

  /** What is to be tried or looked at again later is now. */
  hurry(): void {
    this.#hurry?.abort();
  }

  /** Dispatches `pending-due` at `at`, ms, and once in a while before: it is ignored then. */
  takePendingAt(at: number): void {
    const { clock, dispatch, now } = this.#deps;
    this.#startWait(async (signal) => {
      await clock.sleep(Math.min(Math.max(at - now(), 1_000), MAX_LOOK_MS), signal);
      if (!signal.aborted) dispatch({ type: 'pending-due' });
    });
  }

  /** Asks whether the machine may restart, now and until it may; not before what is being staged for that is. */
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
        // People come and go without a word.
        await clock.sleep(until === null ? LOOK_EVERY_MS : Math.min(Math.max(until - now(), 1_000), LOOK_EVERY_MS), signal);
      }
    });
  }

  /** Asks for `go`, now and until something else is begun. */
  ask(epoch: number): void {
    this.#startWait(async (signal) => {
      this.#asking = epoch;
      while (!signal.aborted) {
        this.#deps.sayReady(epoch);
        await this.#deps.clock.sleep(ASK_EVERY_MS, signal);
      }
    });
  }

  /** A new connection: a question that was asked on the old one is asked again. */
  askAgain(): void {
    if (this.#asking !== undefined) this.#deps.sayReady(this.#asking);
  }

  #startWait(wait: (signal: AbortSignal) => Promise<void>): void {
    this.#endWait();
    if (this.#isStopping) return;
    const controller = new AbortController();
    this.#wait = controller;
    void wait(controller.signal);
  }

  #endWait(): void {
    this.#asking = undefined;
    this.#hurry = undefined;
    this.#wait?.abort();
    this.#wait = undefined;
  }

  /**
   * Ends what can be begun again. A change of the machine is brought to its verdict first, for at most `graceMs`; begun
   * jobs beyond that are left to the journal.
   */
  async stop(graceMs: number, isChanging: () => boolean): Promise<void> {
    this.#isStopping = true;
    this.#endWait();
    if (this.#job !== undefined && (STOPPABLE.has(this.#job.work) || this.#deps.switchesOutliveAgent)) this.#job.stop.abort();
    const { clock } = this.#deps;
    const deadline = clock.monotonic() + graceMs;
    const isWaitedFor = (): boolean => isChanging() && this.#job?.stop.signal.aborted !== true && clock.monotonic() < deadline;
    const over = new AbortController();
    while (isWaitedFor()) {
      // Between two jobs there is none: the next is begun once the event of the one before is in the journal.
      if (this.#job === undefined) await clock.sleep(10);
      else await Promise.race([this.#job.done, clock.sleep(deadline - clock.monotonic(), over.signal)]);
    }
    over.abort();
    const last = this.#job;
    last?.stop.abort();
    await last?.done;
  }
}
