import type { HostName } from '@floe/model';
import type { Report } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { Store } from '@floe/store';

/** How long a report waits for company, in ms. Short enough that nobody sees it, long enough to batch a fleet. */
const GATHER_MS = 15;
const MAX_BATCH = 2_000;
const RETRY_MS = 1_000;

interface Waiting {
  readonly host: HostName;
  readonly report: Report;
  /** Called once the report is stored. */
  readonly stored: (ackSeq: number) => void;
}

/**
 * Stores reports in batches: one statement for many agents costs 30 to 50 times less than one each. Nothing is
 * acknowledged before it is stored; while the database is away reports wait here, and in the agents' own queues.
 */
export class ReportWriter implements AsyncDisposable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onStored: (hosts: ReadonlySet<HostName>) => void;
  readonly #stopping = new AbortController();
  #queue: Waiting[] = [];
  #flushing: Promise<void> | undefined;

  constructor(deps: { store: Store; clock: Clock; logger: Logger; onStored: (hosts: ReadonlySet<HostName>) => void }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#onStored = deps.onStored;
  }

  /** How many reports wait. Callers stop reading from their socket above their own bound. */
  get waiting(): number {
    return this.#queue.length;
  }

  add(waiting: Waiting): void {
    this.#queue.push(waiting);
    this.#flushing ??= this.#flushAll();
  }

  async #flushAll(): Promise<void> {
    const signal = this.#stopping.signal;
    await this.#clock.sleep(GATHER_MS, signal);
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, MAX_BATCH);
      try {
        const acks = await this.#store.reports.store(batch.map(({ host, report }) => ({ ...report, host, receivedAt: this.#clock.now() })));
        this.#queue.splice(0, batch.length);
        for (const { host, report, stored } of batch) stored(acks.get(host) ?? report.seq);
        this.#onStored(new Set(batch.map(({ host }) => host)));
      } catch (error) {
        if (signal.aborted) break; // The agents send them again: none of these was acknowledged.
        this.#logger.warn('reports could not be stored; trying again', { waiting: this.#queue.length, error });
        await this.#clock.sleep(RETRY_MS, signal);
      }
    }
    this.#flushing = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#flushing;
  }
}
