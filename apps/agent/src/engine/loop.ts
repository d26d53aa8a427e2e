import { decide, NOTHING_OBSERVED, type AgentEvent, type AgentJournal, type AgentReport, type Observed } from '@floe/model';
import type { Clock, Logger } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import type { ReportQueue } from '../state/report-queue.ts';
import { redactedEvent } from '../text/redact.ts';
import type { Effects } from './effects.ts';
import type { JournalStore } from './journal-store.ts';
import { makeReport } from './report.ts';

/** States that an administrator should see in the log. */
const BAD_STATES: ReadonlySet<AgentReport['state']> = new Set(['ROLLED_BACK', 'ROLLBACK_FAILED', 'REJECTED', 'BLOCKED']);

export interface LoopDeps {
  readonly store: JournalStore;
  readonly effects: Effects;
  readonly machine: Machine;
  readonly reports: ReportQueue;
  readonly sendReport: (report: AgentReport) => void;
  /** The time of events, ms. */
  readonly now: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The state machine of libs/model, run. For each event in turn: decide, write the journal and the report to disk, then run the
 * effects.
 */
export class Loop {
  readonly #deps: LoopDeps;
  readonly #listeners = new Set<() => void>();
  /** What the machine had when the server was last told. */
  lastReported: Observed = NOTHING_OBSERVED;

  constructor(deps: LoopDeps) {
    this.#deps = deps;
  }

  get journal(): AgentJournal {
    return this.#deps.store.current;
  }

  /** Calls `listener` after each step; returns a function that ends this. */
  onStep(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** False: the event changed nothing. Call it from a task of the {@link Inbox} only, so that one step ends before the next begins. */
  async step(event: AgentEvent): Promise<boolean> {
    const { store, effects: runner, machine, clock, now } = this.#deps;
    const before = store.current;
    const { journal, effects } = decide(before, redactedEvent(event), now());
    if (journal === before && effects.length === 0) return false;
    const effect = effects.find((each) => each.type === 'report');
    const report = effect === undefined ? undefined : await makeReport({ machine, at: clock.now() }, journal, effect);
    const next = report === undefined ? journal : { ...journal, report, nextReportSeq: report.seq + 1 };
    if (next !== before && !(await store.save(next))) return false;
    for (const listener of this.#listeners) listener();
    if (report !== undefined) await this.#report(report);
    for (const each of effects) await runner.run(each, this.journal);
    return true;
  }

  async #report(report: AgentReport): Promise<void> {
    const { logger, reports, sendReport } = this.#deps;
    const { state, epoch, toplevel, detail } = report;
    logger[BAD_STATES.has(state) ? 'error' : 'info']('state', {
      state,
      epoch,
      toplevel,
      ...(detail === undefined ? {} : { code: detail.code, reason: detail.message }),
    });
    this.lastReported = report.observed;
    await reports.append(report).catch((error: unknown) => logger.error('a report cannot be written to the queue', { error }));
    sendReport(report);
  }
}
