import type { Clock } from '@floe/runtime';

const DAY_MS = 24 * 3600_000;
/**
 * How far the machine's clock may be ahead of its earlier time plus the time that passed. A server is switched off for weeks, not
 * longer; and a release is valid for a year, so statements signed within this limit cannot make hosts refuse those signed after
 * the clock was corrected.
 */
const MAX_AHEAD_MS = 180 * DAY_MS;
/** Small corrections of clocks are normal. */
const BEHIND_MS = 3600_000;
const DATABASE_DIFFERS_MS = 5 * 60_000;

export const CLOCK_TROUBLES = ['AHEAD', 'BEHIND', 'DIFFERS'] as const;

/** What is wrong with the clock. */
export type ClockTrouble =
  /** Not trusted: the machine shows `shown`, the server uses `used`. */
  | { readonly kind: 'AHEAD'; readonly shown: number; readonly used: number }
  /** Trusted, but it showed `before` earlier: one of the two is wrong. */
  | { readonly kind: 'BEHIND'; readonly shown: number; readonly before: number }
  | { readonly kind: 'DIFFERS'; readonly shown: number; readonly database: number };

/**
 * The machine's clock, as far as it can be trusted. The server's signatures contain dates, which hosts remember: a clock that is
 * a year ahead during one push must not make them refuse everything afterwards. So a time that is too far ahead is not used.
 * Instead the time that passed is added to the last good one, until the machine's clock is correct again, or an administrator
 * accepts it.
 */
export class ServerClock implements Clock {
  readonly #machine: Clock;
  /** The last trusted time, and the monotonic time at which it was read. */
  #good: { readonly now: number; readonly sinceBoot: number };
  /** The latest time ever recorded, and when it was learned. */
  #high: { readonly now: number; readonly sinceBoot: number };
  #told: { readonly now: number; readonly sinceBoot: number };
  /** The latest trusted time, of this run or an earlier one. */
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
   * The latest time that was sent to anybody in this run, plus the time since. Agents count from it: a directive that expires by
   * a clock that was set back since would already have expired for them.
   */
  latest(): number {
    const now = this.now();
    return Math.max(now, this.#told.now + (this.#machine.sinceBoot() - this.#told.sinceBoot));
  }

  /** Sets the latest time of earlier runs. */
  remember(high: number): void {
    const sinceBoot = this.#machine.sinceBoot();
    this.#high = { now: high, sinceBoot };
    this.#highest = high;
    if (this.#isBelieved(this.#machine.now())) this.#good = { now: this.#machine.now(), sinceBoot };
    else this.#good = this.#high;
  }

  /**
   * An administrator accepts the machine's clock, which had this trouble: that ends. A difference from the database's clock is then expected,
   * until it changes or the server is restarted.
   */
  accept(trouble: ClockTrouble): void {
    if (trouble.kind === 'DIFFERS') {
      this.#expectedDifferenceMs = trouble.database - trouble.shown;
      return;
    }
    this.#good = { now: this.#machine.now(), sinceBoot: this.#machine.sinceBoot() };
    this.#high = this.#good;
    this.#highest = this.#good.now;
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
