import type { Clock } from '@floe/runtime';

/** A clock that moved by more than this without us was set, or we were switched off. */
const JUMP_MS = 3600_000;
/** So long hosts have to come back before their silence counts again. */
const GRACE_MS = 3600_000;

/**
 * Up to when this server listened: the time by which hosts are judged to be silent. After it was switched off, and after its clock
 * was set, that is for an hour the time before, so that hosts can come back before they are missed.
 */
export class ListeningClock {
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>;
  #last: { readonly now: number; readonly monotonic: number };
  #held: { readonly now: number; readonly untilMonotonic: number };

  /** `listenedUntil`: the last time of an earlier process. */
  constructor(clock: Pick<Clock, 'now' | 'monotonic'>, listenedUntil: number) {
    this.#clock = clock;
    this.#last = { now: clock.now(), monotonic: clock.monotonic() };
    this.#held = { now: listenedUntil, untilMonotonic: clock.monotonic() + GRACE_MS };
  }

  now(): number {
    const now = this.#clock.now();
    const monotonic = this.#clock.monotonic();
    const expected = this.#last.now + (monotonic - this.#last.monotonic);
    if (Math.abs(now - expected) > JUMP_MS) {
      const isHeld = monotonic < this.#held.untilMonotonic;
      this.#held = { now: isHeld ? Math.min(this.#held.now, expected) : expected, untilMonotonic: monotonic + GRACE_MS };
    }
    this.#last = { now, monotonic };
    return monotonic < this.#held.untilMonotonic ? Math.min(now, this.#held.now) : now;
  }
}
