import type { Clock } from '@floe/runtime';

/** A build that takes longer than this does not keep others from beginning. */
const LONG_BUILD_MS = 60_000;
/** As many times the slots may builds run at the same time, long ones included. */
const MAX_RUNNING_PER_SLOT = 4;

/**
 * So many builds run at a time. One that takes long gives its slot to another one, so that as many long builds as slots do not hold all others; up
 * to a bound, because each takes memory.
 */
export class BuildSlots {
  readonly #clock: Pick<Clock, 'sleep'>;
  readonly #slots: number;
  #taken = 0;
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(clock: Pick<Clock, 'sleep'>, slots: number) {
    this.#clock = clock;
    this.#slots = Math.max(1, slots);
  }

  /** Takes a slot as soon as there is one. What it returns runs `work` in it. */
  async take(): Promise<<Result>(work: () => Promise<Result>) => Promise<Result>> {
    while (this.#taken >= this.#slots || this.#running >= MAX_RUNNING_PER_SLOT * this.#slots)
      await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    this.#taken += 1;
    this.#running += 1;
    return async (work) => {
      const ended = new AbortController();
      const givingAway = this.#giveAway(ended.signal);
      try {
        return await work();
      } finally {
        ended.abort();
        await givingAway;
        this.#running -= 1;
        this.#wake();
      }
    };
  }

  async #giveAway(ended: AbortSignal): Promise<void> {
    await this.#clock.sleep(LONG_BUILD_MS, ended);
    this.#taken -= 1;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) each();
  }
}
