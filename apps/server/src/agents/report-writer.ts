import type { HostName } from '@floe/model';
import type { Report } from '@floe/protocol';
import { describeError, isFloeError, narrow, type Clock, type Culprit, type Logger } from '@floe/runtime';
import type { PlainStore } from '@floe/store';

/** How long a report waits for company, in ms. Short enough that nobody sees it. */
const GATHER_MS = 15;
/** After a batch of so many reports more are on their way, and a batch costs as much as 50 reports: those wait for so long, in ms. */
const MANY_REPORTS = 20;
const GATHER_MANY_MS = 100;
const MAX_BATCH = 2_000;
const RETRY_MS = 1_000;

/** About what is in the batch: a value that is not taken, or a row of one host that cannot be read. */
function isRefused(error: unknown): boolean {
  return isFloeError(error, 'STORE_DATA_REFUSED') || isFloeError(error, 'STORE_ROW_UNREADABLE');
}

/** A report, and whose it is. */
export interface ReportOfHost {
  readonly host: HostName;
  readonly report: Report;
}

interface Waiting extends ReportOfHost {
  /** Called once the report is stored. */
  readonly stored: (ackSeq: number) => void;
}

/**
 * Stores reports in batches: one statement for many agents costs 30 to 50 times less than one each. Nothing is
 * acknowledged before it is stored; while the database is away reports wait here, and in the agents' own queues. A batch
 * that the database refuses is split until what it does not take is alone: one host never keeps another's reports out.
 */
export class ReportWriter implements AsyncDisposable {
  readonly #store: PlainStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onStored: (reports: readonly ReportOfHost[]) => void;
  readonly #stopping = new AbortController();
  #queue: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  /** Called when a batch was stored, or the writer stops. */
  #watchers: (() => void)[] = [];

  constructor(deps: { store: PlainStore; clock: Clock; logger: Logger; onStored: (reports: readonly ReportOfHost[]) => void }) {
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

  /**
   * Resolves when everything that came from this host before is stored: what it asks for then is decided by what it said. Not while the
   * database is away: then nothing is decided.
   */
  async settled(host: HostName): Promise<void> {
    const last = this.#queue.findLast((each) => each.host === host);
    if (last === undefined) return;
    while (this.#queue.includes(last) && !this.#stopping.signal.aborted) await new Promise<void>((resolve) => void this.#watchers.push(resolve));
  }

  #tellWatchers(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const tell of watchers) tell();
  }

  async #flushAll(): Promise<void> {
    const signal = this.#stopping.signal;
    await this.#clock.sleep(GATHER_MS, signal);
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, MAX_BATCH);
      try {
        await this.#storeOrSetAside(batch);
        this.#queue.splice(0, batch.length);
        this.#tellWatchers();
        this.#onStored(batch);
        if (batch.length >= MANY_REPORTS && this.#queue.length < MAX_BATCH) await this.#clock.sleep(GATHER_MANY_MS, signal);
      } catch (error) {
        if (signal.aborted) break; // The agents send them again: none of these was acknowledged.
        this.#logger.warn('reports could not be stored; trying again', { waiting: this.#queue.length, error });
        await this.#clock.sleep(RETRY_MS, signal);
      }
    }
    this.#flushing = undefined;
    this.#tellWatchers();
  }

  /** First the hosts are found of which something is refused, however many they are, then among the reports of each what it is. */
  async #storeOrSetAside(batch: readonly Waiting[]): Promise<void> {
    const hosts = [...Map.groupBy(batch, ({ host }) => host)];
    const storeAll = async (some: readonly Waiting[]): Promise<void> => await this.#storeAll(some);
    const refused = await narrow(hosts, async (some) => await storeAll(some.flatMap(([, reports]) => reports)), isRefused, hosts.length);
    for (const { item } of refused) {
      const [host, reports] = item;
      await this.#setAside(host, await narrow(reports, storeAll, isRefused));
    }
  }

  async #storeAll(batch: readonly Waiting[]): Promise<void> {
    const acks = await this.#store.reports.store(batch.map(({ host, report }) => ({ ...report, host, receivedAt: this.#clock.now() })));
    for (const { host, report, stored } of batch) stored(acks.get(host) ?? report.seq);
  }

  /**
   * What the database does not take from this host is noted on it, for people, and acknowledged: sent again it would be
   * refused again, forever, and nothing behind it would come.
   */
  async #setAside(host: HostName, refused: readonly Culprit<Waiting>[]): Promise<void> {
    const newest = refused.at(-1);
    if (newest === undefined) return;
    const { report } = newest.item;
    const why = `report ${report.seq} (${report.state}): ${describeError(newest.error)}`;
    this.#logger.error('reports were set aside: the database does not take them', {
      host,
      reports: refused.length,
      seq: report.seq,
      error: newest.error,
    });
    try {
      await this.#store.hosts.noteRefusal(host, why, refused.length, this.#clock.now());
    } catch (error) {
      if (!isRefused(error)) throw error;
      this.#logger.error('a refusal could not be noted on its host', { host, error });
    }
    for (const { item } of refused) item.stored(item.report.seq);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#flushing;
  }
}
