import type { Clock } from '@floe/runtime';

const DAY_MS = 24 * 3600_000;
/**
 * So far may the machine's clock be ahead of what it showed before and the time that passed since. A server that was
 * switched off is away for weeks, not longer; and a release is good for a year, so that nothing which was signed within
 * these days can make hosts refuse what is signed after the clock was set right.
 */
const MAX_AHEAD_MS = 180 * DAY_MS;
/** Clocks are set by seconds all the time. */
const BEHIND_MS = 3600_000;
const DATABASE_DIFFERS_MS = 5 * 60_000;

export const CLOCK_TROUBLES = ['AHEAD', 'BEHIND', 'DIFFERS'] as const;

/** What is wrong with the time. */
export type ClockTrouble =
  /** Not believed: `shown` is what the machine says, `used` what is gone by. */
  | { readonly kind: 'AHEAD'; readonly shown: number; readonly used: number }
  /** Believed, but it showed `before` once: one of both is wrong. */
  | { readonly kind: 'BEHIND'; readonly shown: number; readonly before: number }
  | { readonly kind: 'DIFFERS'; readonly shown: number; readonly database: number };

/**
 * The machine's clock, as far as it can be believed. What the server signs is dated by it, and hosts remember dates: a
 * clock that is a year ahead for one push must not have them refuse everything afterwards. So a time that is too far
 * beyond all that was seen before is not used; the time that passed is added to the last good one instead, until the
 * machine's clock is right again, or an administrator says that it is.
 */
export class ServerClock implements Clock {
  readonly #machine: Clock;
  /** The last believed time, and when that was by the clock that does not jump. */
  #good: { readonly now: number; readonly sinceBoot: number };
  /** The latest time that was ever shown here, and when that was learned. */
  #high: { readonly now: number; readonly sinceBoot: number };
  #told: { readonly now: number; readonly sinceBoot: number };
  /** The latest time that was believed, of this run or one before. */
  #highest: number;
  #expectedDifferenceMs = 0;
  #database: { readonly now: number; readonly sinceBoot: number } | undefined;

  constructor(machine: Clock) {
    this.#machine = machine;
    this.#good = { now: machine.now(), sinceBoot: machine.sinceBoot() };
    this.#high = this.#good;
    this.#told = this.#good;
    this.#highest = this.#good.now;
  }

  /**
   * The latest time that anybody was told in this run, and what passed since. Who was told that counts from there: a
   * directive that ends by a clock which was set back since then would have ended before it came.
   */
  latest(): number {
    const now = this.now();
    return Math.max(now, this.#told.now + (this.#machine.sinceBoot() - this.#told.sinceBoot));
  }

  /** Says the latest time that was shown in earlier runs. */
  remember(high: number): void {
    const sinceBoot = this.#machine.sinceBoot();
    this.#high = { now: high, sinceBoot };
    this.#highest = high;
    if (this.#isBelieved(this.#machine.now())) this.#good = { now: this.#machine.now(), sinceBoot };
    else this.#good = this.#high;
  }

  /**
   * An administrator says that the machine's clock is right: ends the trouble that there is, and gives it. A difference from
   * the database's clock is then what is to be expected, until it changes or the server is started again.
   */
  accept(): { readonly was: ClockTrouble['kind']; readonly now: number } | undefined {
    const trouble = this.trouble();
    if (trouble === undefined) return undefined;
    if (trouble.kind === 'DIFFERS') {
      this.#expectedDifferenceMs = trouble.database - trouble.shown;
      return { was: trouble.kind, now: trouble.shown };
    }
    this.#good = { now: this.#machine.now(), sinceBoot: this.#machine.sinceBoot() };
    this.#high = this.#good;
    this.#highest = this.#good.now;
    return { was: trouble.kind, now: this.#good.now };
  }

  noteDatabase(now: number): void {
    this.#database = { now, sinceBoot: this.#machine.sinceBoot() };
  }

  now(): number {
    const shown = this.#machine.now();
    const sinceBoot = this.#machine.sinceBoot();
    if (!this.#isBelieved(shown)) return this.#good.now + (sinceBoot - this.#good.sinceBoot);
    this.#good = { now: shown, sinceBoot };
    this.#highest = Math.max(this.#highest, shown);
    if (shown >= this.#told.now + (sinceBoot - this.#told.sinceBoot)) this.#told = this.#good;
    return shown;
  }

  #isBelieved(shown: number): boolean {
    return shown <= this.#high.now + (this.#machine.sinceBoot() - this.#high.sinceBoot) + MAX_AHEAD_MS;
  }

  trouble(): ClockTrouble | undefined {
    const shown = this.#machine.now();
    if (!this.#isBelieved(shown)) return { kind: 'AHEAD', shown, used: this.now() };
    if (shown < this.#highest - BEHIND_MS) return { kind: 'BEHIND', shown, before: this.#highest };
    if (this.#database === undefined) return undefined;
    const database = this.#database.now + (this.#machine.sinceBoot() - this.#database.sinceBoot);
    return Math.abs(database - shown - this.#expectedDifferenceMs) > DATABASE_DIFFERS_MS ? { kind: 'DIFFERS', shown, database } : undefined;
  }

  monotonic(): number {
    return this.#machine.monotonic();
  }
  sinceBoot(): number {
    return this.#machine.sinceBoot();
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await this.#machine.sleep(ms, signal);
  }
}
