import { createWake } from '@floe/runtime';

type Task = () => Promise<void>;

/** Does what it is given one after another: what one task reads, no other changes meanwhile. */
export class Inbox {
  readonly #tasks: Task[] = [];
  readonly #wake = createWake();

  add(task: Task): void {
    this.#tasks.push(task);
    this.#wake.wake();
  }

  /** Works until `signal` aborts and nothing is left. An error of a task is a bug, and ends it. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      const task = this.#tasks.shift();
      if (task !== undefined) await task();
      else if (signal.aborted) return;
      else await this.#wake.wait(60_000, signal);
    }
  }
}
