import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** However busy the machine is, a wait ends after so many times its budget. */
const MAX_STRETCH = 8;

/**
 * A wait's budget, in the time of a machine that has nothing else to do: while more wants to run than there are processors,
 * it is used up as much more slowly. What others start must not make a test fail, and what hangs must.
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

  /** To be asked again and again: each time counts the time since the last by how busy the machine is. */
  isOver(): boolean {
    const now = this.#now();
    this.#usedMs += (now - this.#lookedAt) * Math.min(1, availableParallelism() / this.#processes());
    this.#lookedAt = now;
    return this.#usedMs > this.#budgetMs || now - this.#startedAt > MAX_STRETCH * this.#budgetMs;
  }
}

/** How many processes run or want to, ours among them; 1 where the kernel does not say. */
function runnableProcesses(): number {
  try {
    return Number(/^procs_running (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? 1);
  } catch {
    return 1;
  }
}
