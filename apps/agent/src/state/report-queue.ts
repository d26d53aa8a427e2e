import { open, type FileHandle } from 'node:fs/promises';
import type { AgentReport } from '@floe/model';
import { readFileIfPresent, writeFileDurably, type Logger } from '@floe/runtime';
import * as v from 'valibot';
import { StoredReport } from './journal-file.ts';

/** How many reports are kept while the server is away; above that the oldest are dropped. */
export const MAX_WAITING_REPORTS = 1_000;
/** The file is rewritten when it has this many acknowledged lines. */
const COMPACT_AFTER = 200;

const Line = v.pipe(v.string(), v.parseJson(), StoredReport);

/**
 * The reports that the server has not acknowledged, on disk: one JSON line each, appended. A line that a power failure cut
 * off does no harm: the journal, which is written first, has the newest report, too.
 */
export class ReportQueue implements AsyncDisposable {
  readonly #path: string;
  readonly #logger: Logger;
  #waiting: AgentReport[];
  #file: FileHandle | undefined;
  #linesInFile = 0;
  /** False after a failed write: then the next report rewrites the whole file. */
  #isWhole = false;

  private constructor(path: string, logger: Logger, waiting: AgentReport[]) {
    this.#path = path;
    this.#logger = logger;
    this.#waiting = waiting;
  }

  /** Opens the queue; `newest` is the journal's report, put behind the others when a crash kept it from getting here. */
  static async open(path: string, newest: AgentReport | null, logger: Logger): Promise<ReportQueue> {
    const lines = ((await readFileIfPresent(path)) ?? '').split('\n').filter((line) => line !== '');
    const waiting: AgentReport[] = [];
    for (const line of lines) {
      const parsed = v.safeParse(Line, line);
      if (parsed.success && parsed.output.seq > (waiting.at(-1)?.seq ?? 0)) waiting.push(parsed.output);
      else if (!parsed.success) logger.warn('a report in the queue cannot be read and is left out', { queue: path });
    }
    if (newest !== null && newest.seq > (waiting.at(-1)?.seq ?? 0)) waiting.push(newest);
    const queue = new ReportQueue(path, logger, waiting);
    await queue.#rewriteIfPossible();
    return queue;
  }

  /** What the server has not acknowledged, oldest first. */
  get waiting(): readonly AgentReport[] {
    return this.#waiting;
  }

  /** Returns when the report is on disk. Where it cannot be written (a full disk) it is kept in memory, and this throws. */
  async append(report: AgentReport): Promise<void> {
    this.#waiting.push(report);
    if (this.#waiting.length > MAX_WAITING_REPORTS) {
      const dropped = this.#waiting.splice(0, this.#waiting.length - MAX_WAITING_REPORTS);
      this.#logger.warn('the oldest reports are dropped: the server has been away for too long', { dropped: dropped.length });
    }
    if (this.#file === undefined || !this.#isWhole || this.#linesInFile - this.#waiting.length > COMPACT_AFTER) {
      await this.#rewrite();
      return;
    }
    // Until it is there: half a line would spoil the one that is put behind it.
    this.#isWhole = false;
    await this.#file.appendFile(serialise([report]));
    await this.#file.datasync();
    this.#linesInFile += 1;
    this.#isWhole = true;
  }

  /** Forgets what the server has stored: all up to `seq`. Never throws. */
  async acknowledge(seq: number): Promise<void> {
    const before = this.#waiting.length;
    this.#waiting = this.#waiting.filter((report) => report.seq > seq);
    if (this.#waiting.length === before || this.#waiting.length > 0) return;
    // Not synced: should the lines come back after a power cut, the server has them already.
    try {
      await this.#file?.truncate(0);
      this.#linesInFile = 0;
    } catch (error) {
      this.#logger.warn('the queue of reports could not be emptied: what the server has is sent to it once more after a restart', { error });
    }
  }

  /**
   * Renumbers the waiting reports from `firstSeq`: after the journal was lost, the server has other reports under these
   * numbers. Returns the next free number. Never throws.
   */
  async renumber(firstSeq: number): Promise<number> {
    this.#waiting = this.#waiting.map((report, index) => ({ ...report, seq: firstSeq + index }));
    await this.#rewriteIfPossible();
    return firstSeq + this.#waiting.length;
  }

  /** The file that is there stays in use until the new one is. */
  async #rewrite(): Promise<void> {
    this.#isWhole = false;
    const { length } = this.#waiting;
    await writeFileDurably(this.#path, serialise(this.#waiting));
    const before = this.#file;
    this.#file = await open(this.#path, 'a', 0o600);
    this.#linesInFile = length;
    this.#isWhole = true;
    await before?.close();
  }

  async #rewriteIfPossible(): Promise<void> {
    await this.#rewrite().catch((error: unknown) => {
      this.#logger.error('the queue of reports cannot be written, and is kept in memory (is the disk full?)', { queue: this.#path, error });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
  }
}

function serialise(reports: readonly AgentReport[]): string {
  return reports.map((report) => `${JSON.stringify(report)}\n`).join('');
}
