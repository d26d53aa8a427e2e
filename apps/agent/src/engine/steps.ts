import { decide, NOTHING_OBSERVED, type AgentEffect, type AgentEvent, type AgentJournal, type AgentReport, type Observed } from '@floe/model';
import { fullJitter, type Clock, type Logger } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import type { ReportQueue } from '../state/report-queue.ts';
import { redactedEvent } from '../text/redact.ts';
import { makeReport } from './report.ts';

const SAVE_AGAIN = { baseMs: 1_000, capMs: 60_000 };

export interface StepsDeps {
  /** As it was on disk. */
  readonly journal: AgentJournal;
  /** Returns when the journal is on disk. */
  readonly saveJournal: (journal: AgentJournal) => Promise<void>;
  readonly machine: Machine;
  readonly reports: ReportQueue;
  readonly sendReport: (report: AgentReport) => void;
  readonly perform: (effect: AgentEffect) => Promise<void>;
  /** The time of events, ms. */
  readonly now: () => number;
  /** Nothing is waited for any more. */
  readonly stopping: AbortSignal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** Events go through the state machine, its journal to the disk, then its effects are done: in this order, one event at a time. */
export class Steps {
  readonly #deps: StepsDeps;
  readonly #listeners = new Set<() => void>();
  #journal: AgentJournal;
  /** What the server was last told that the machine has. */
  told: Observed = NOTHING_OBSERVED;

  constructor(deps: StepsDeps) {
    this.#deps = deps;
    this.#journal = deps.journal;
  }

  get journal(): AgentJournal {
    return this.#journal;
  }

  onStep(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** False when nothing came of the event. Not to be called while another step is under way: see `Inbox`. */
  async step(event: AgentEvent): Promise<boolean> {
    const { machine, clock, now, perform } = this.#deps;
    const { journal, effects } = decide(this.#journal, redactedEvent(event), now());
    if (journal === this.#journal && effects.length === 0) return false;
    const effect = effects.find((each) => each.type === 'report');
    const report = effect === undefined ? undefined : await makeReport({ machine, at: clock.now() }, journal, effect);
    const next = report === undefined ? journal : { ...journal, report, nextReportSeq: report.seq + 1 };
    if (next !== this.#journal && !(await this.save(next))) return false;
    for (const listener of this.#listeners) listener();
    if (report !== undefined) await this.#report(report);
    for (const each of effects) await perform(each);
    return true;
  }

  /** Nothing is done that is not written down: while the disk is full, the agent waits. False when it was stopped. */
  async save(journal: AgentJournal): Promise<boolean> {
    const { clock, logger, random, saveJournal, stopping } = this.#deps;
    for (let attempt = 0; ; attempt += 1) {
      try {
        await saveJournal(journal);
        this.#journal = journal;
        return true;
      } catch (error) {
        logger.error('the journal cannot be written; nothing is done before it is (is the disk full?)', { error });
      }
      if (stopping.aborted) return false;
      await clock.sleep(SAVE_AGAIN.baseMs + fullJitter(attempt, SAVE_AGAIN, random), stopping);
    }
  }

  async #report(report: AgentReport): Promise<void> {
    const { logger, reports, sendReport } = this.#deps;
    const { state, epoch, toplevel, detail } = report;
    const isBad = state === 'ROLLED_BACK' || state === 'ROLLBACK_FAILED' || state === 'REJECTED' || state === 'BLOCKED';
    logger[isBad ? 'error' : 'info']('state', {
      state,
      epoch,
      toplevel,
      ...(detail === undefined ? {} : { code: detail.code, reason: detail.message }),
    });
    this.told = report.observed;
    await reports.append(report).catch((error: unknown) => logger.error('a report cannot be written to the queue', { error }));
    sendReport(report);
  }
}
