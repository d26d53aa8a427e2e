import { setImmediate } from 'node:timers/promises';
import type { Clock } from '@floe/runtime';

interface Timer {
  readonly at: number;
  readonly wake: () => void;
}

/** Time that passes only when it is told to, from one sleeper's end to the next. */
export class VirtualClock implements Clock {
  time = 1_790_000_000_000;
  readonly #timers = new Set<Timer>();
  readonly now = (): number => this.time;
  readonly monotonic = (): number => this.time;
  readonly sinceBoot = (): number => this.time;

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        this.#timers.delete(timer);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const timer: Timer = { at: this.time + ms, wake: end };
      this.#timers.add(timer);
      signal?.addEventListener('abort', end);
    });
  }

  /** When the next sleeper wakes. */
  get next(): number | undefined {
    const times = [...this.#timers].map(({ at }) => at);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Lets time pass; all that it wakes has come to rest, as far as it waits for no I/O. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await rest();
    for (let next = this.next; next !== undefined && next <= end; next = this.next) {
      this.time = Math.max(this.time, next);
      for (const { wake } of [...this.#timers].filter(({ at }) => at <= this.time)) wake();
      await rest();
    }
    this.time = end;
  }
}

async function rest(): Promise<void> {
  await setImmediate();
}
