import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** However busy the machine is, a wait ends after this multiple of its budget. */
const MAX_STRETCH = 8;

/**
 * The budget of a wait, in the time of an idle machine: while more processes want to run than there are processors, it is
 * consumed that much more slowly. The load of others must not make a test fail, but a hang must.
 */
export class Patience {
  readonly #budgetMs: number;
  readonly #processes: () => number;
  readonly #now: () => number;
  readonly #startedAt: number;
  #lookedAt: number;
  #usedMs = 0;

  constructor(budgetMs: number, deps: { readonly processes?: () => number; readonly now?: () => number } = {}) {
    this.#budgetMs = budgetMs;
    this.#processes = deps.processes ?? runnableProcesses;
    this.#now = deps.now ?? (() => performance.now());
    this.#startedAt = this.#now();
    this.#lookedAt = this.#startedAt;
  }

  /** Must be called repeatedly: each call weights the time since the last one by the load of the machine. */
  isOver(): boolean {
    const now = this.#now();
    this.#usedMs += (now - this.#lookedAt) * Math.min(1, availableParallelism() / this.#processes());
    this.#lookedAt = now;
    return this.#usedMs > this.#budgetMs || now - this.#startedAt > MAX_STRETCH * this.#budgetMs;
  }
}

/** The number of running and runnable processes, including this one; 1 where the kernel does not report it. */
function runnableProcesses(): number {
  try {
    return Number(/^procs_running (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? 1);
  } catch {
    return 1;
  }
}
