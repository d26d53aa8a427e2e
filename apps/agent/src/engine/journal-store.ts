import type { AgentJournal } from '@floe/model';
import { fullJitter, type Clock, type Logger } from '@floe/runtime';

const SAVE_AGAIN = { baseMs: 1_000, capMs: 60_000 };

export interface JournalStoreDeps {
  /** As it was on disk. */
  readonly journal: AgentJournal;
  /** Returns when the journal is on disk. */
  readonly saveJournal: (journal: AgentJournal) => Promise<void>;
  /** Ends the waiting for a disk that cannot be written. */
  readonly stopping: AbortSignal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** The journal as it is on disk. */
export class JournalStore {
  readonly #deps: JournalStoreDeps;
  #current: AgentJournal;

  constructor(deps: JournalStoreDeps) {
    this.#deps = deps;
    this.#current = deps.journal;
  }

  get current(): AgentJournal {
    return this.#current;
  }

  /** The agent does nothing that is not on disk: while the disk is full, it waits. False: the agent was stopped meanwhile. */
  async save(journal: AgentJournal): Promise<boolean> {
    const { clock, logger, random, saveJournal, stopping } = this.#deps;
    for (let attempt = 0; ; attempt += 1) {
      try {
        await saveJournal(journal);
        this.#current = journal;
        return true;
      } catch (error) {
        logger.error('the journal cannot be written; the agent waits until it can (is the disk full?)', { error });
      }
      if (stopping.aborted) return false;
      await clock.sleep(SAVE_AGAIN.baseMs + fullJitter(attempt, SAVE_AGAIN, random), stopping);
    }
  }
}
