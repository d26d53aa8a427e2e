import type { AgentEvent } from '@floe/model';
import { createWake } from '@floe/runtime';

type Task = () => Promise<void>;

/** Runs tasks and events one after another, so that nothing changes the journal while a task uses it. */
export class Inbox {
  readonly #items: (Task | AgentEvent)[] = [];
  readonly #wake = createWake();

  add(task: Task): void {
    this.#items.push(task);
    this.#wake.wake();
  }

  dispatch(event: AgentEvent): void {
    this.#items.push(event);
    this.#wake.wake();
  }

  /** Runs until `signal` aborts and nothing is left. An error of a task is a bug, and ends it. */
  async run(onEvent: (event: AgentEvent) => Promise<void>, signal: AbortSignal): Promise<void> {
    for (;;) {
      const item = this.#items.shift();
      if (typeof item === 'function') await item();
      else if (item !== undefined) await onEvent(item);
      else if (signal.aborted) return;
      else await this.#wake.wait(60_000, signal);
    }
  }
}
