import { open, type FileHandle } from 'node:fs/promises';
import type { AgentReport } from '@floe/model';
import { readFileIfPresent, writeFileDurably, type Logger } from '@floe/runtime';
import * as v from 'valibot';
import { StoredReport } from '../journal-file.ts';

/** So many reports are kept for a server that is away; above it the oldest are let go. */
export const MAX_WAITING_REPORTS = 1_000;
/** The file is written anew when so many of its lines are acknowledged. */
const COMPACT_AFTER = 200;

const Line = v.pipe(v.string(), v.parseJson(), StoredReport);

/**
 * The reports that the server has not acknowledged, on disk: one JSON line each, appended. A line that a power cut
 * left in part is not missed: the journal, which is written first, has the newest report too.
 */
export class ReportQueue implements AsyncDisposable {
  readonly #path: string;
  readonly #logger: Logger;
  #file: FileHandle;
  #waiting: AgentReport[];
  #linesInFile: number;

  private constructor(path: string, logger: Logger, file: FileHandle, waiting: AgentReport[]) {
    this.#path = path;
    this.#logger = logger;
    this.#file = file;
    this.#waiting = waiting;
    this.#linesInFile = waiting.length;
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
    // A full disk keeps no agent from starting: what is in the file already can be read next time, too.
    await writeFileDurably(path, serialise(waiting)).catch((error: unknown) => {
      logger.error('the queue of reports cannot be written anew (is the disk full?)', { queue: path, error });
    });
    return new ReportQueue(path, logger, await open(path, 'a', 0o600), waiting);
  }

  /** What the server has not acknowledged, oldest first. */
  get waiting(): readonly AgentReport[] {
    return this.#waiting;
  }

  /** Returns when the report is on disk. */
  async append(report: AgentReport): Promise<void> {
    this.#waiting.push(report);
    if (this.#waiting.length > MAX_WAITING_REPORTS) {
      const dropped = this.#waiting.splice(0, this.#waiting.length - MAX_WAITING_REPORTS);
      this.#logger.warn('the oldest reports are let go: the server has been away for too long', { dropped: dropped.length });
    }
    if (this.#linesInFile - this.#waiting.length > COMPACT_AFTER) {
      await this.#rewrite();
      return;
    }
    await this.#file.appendFile(serialise([report]));
    await this.#file.datasync();
    this.#linesInFile += 1;
  }

  /** Forgets what the server has stored: all up to `seq`. */
  async acknowledge(seq: number): Promise<void> {
    const before = this.#waiting.length;
    this.#waiting = this.#waiting.filter((report) => report.seq > seq);
    if (this.#waiting.length === before || this.#waiting.length > 0) return;
    // Not synced, and no matter when it fails: should the lines come back, the server has them already.
    await this.#file.truncate(0).then(
      () => (this.#linesInFile = 0),
      (error: unknown) => this.#logger.warn('the queue of reports cannot be emptied', { queue: this.#path, error }),
    );
  }

  /**
   * Numbers what waits anew from `firstSeq`: after the journal was lost, the server has stored other reports under
   * these numbers. Returns the next free number.
   */
  async renumber(firstSeq: number): Promise<number> {
    this.#waiting = this.#waiting.map((report, index) => ({ ...report, seq: firstSeq + index }));
    await this.#rewrite();
    return firstSeq + this.#waiting.length;
  }

  async #rewrite(): Promise<void> {
    await writeFileDurably(this.#path, serialise(this.#waiting));
    const old = this.#file;
    this.#file = await open(this.#path, 'a', 0o600);
    await old.close();
    this.#linesInFile = this.#waiting.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

function serialise(reports: readonly AgentReport[]): string {
  return reports.map((report) => `${JSON.stringify(report)}\n`).join('');
}
