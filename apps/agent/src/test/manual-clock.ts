import type { Clock } from '@floe/runtime';
import { until } from './until.ts';

/** A clock that stands still until a test lets time pass. */
export class ManualClock implements Clock {
  #now = Date.UTC(2026, 2, 1, 13);
  readonly #sleepers = new Set<{ readonly at: number; readonly end: () => void }>();

  now(): number {
    return this.#now;
  }
  monotonic(): number {
    return this.#now;
  }
  sinceBoot(): number {
    return this.#now;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    await new Promise<void>((resolve) => {
      const sleeper = { at: this.#now + ms, end: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener(
        'abort',
        () => {
          this.#sleepers.delete(sleeper);
          resolve();
        },
        { once: true },
      );
    });
  }

  /** Lets time pass, once someone sleeps. */
  async passed(ms: number): Promise<void> {
    await settled();
    await until(() => this.#sleepers.size > 0);
    this.#now += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.at > this.#now) continue;
      this.#sleepers.delete(sleeper);
      sleeper.end();
    }
    await settled();
  }

  /** Returns once nobody sleeps. */
  async idle(): Promise<void> {
    await settled();
    await until(() => this.#sleepers.size === 0);
  }
}

/** What was ready to run has run. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
