/** Maximum number of lines of one message per minute. When a whole fleet reconnects, "connected" is logged once per host. */
const LINES_PER_MINUTE = 200;
const MINUTE_MS = 60_000;
/** Far more than there are static messages. A few messages contain data, so their number is unlimited. */
const MAX_MESSAGES = 1_000;

/** The key under which all messages without an entry of their own are counted. */
const OTHERS = '';

interface Window {
  readonly since: number;
  lines: number;
}

/** What to do with a line: write it, write it as the last one of its minute, or suppress it. */
export type Allowance = { readonly kind: 'write'; readonly leftOut: number } | { readonly kind: 'last' } | { readonly kind: 'omit' };

/**
 * Limits the log: clients can cause warnings at any rate, and a full disk would stop more than the log. Each message has its own
 * limit; messages beyond {@link MAX_MESSAGES} in a minute share one.
 */
export class LogLimit {
  readonly #windows = new Map<string, Window>();

  /** `now` in milliseconds, of a clock that may jump: a window that begins in the future has ended. */
  allow(given: string, now: number): Allowance {
    const message = this.#windows.has(given) || this.#hasRoom(now) ? given : OTHERS;
    const window = this.#windows.get(message);
    if (window === undefined || now - window.since >= MINUTE_MS || now < window.since) {
      this.#windows.set(message, { since: now, lines: 1 });
      return { kind: 'write', leftOut: Math.max(0, (window?.lines ?? 0) - LINES_PER_MINUTE) };
    }
    window.lines += 1;
    if (window.lines < LINES_PER_MINUTE) return { kind: 'write', leftOut: 0 };
    return { kind: window.lines === LINES_PER_MINUTE ? 'last' : 'omit' };
  }

  #hasRoom(now: number): boolean {
    if (this.#windows.size < MAX_MESSAGES) return true;
    for (const [message, { since, lines }] of this.#windows) {
      // An entry with suppressed lines stays: the next line of the message reports their number.
      if (lines < LINES_PER_MINUTE && Math.abs(now - since) >= MINUTE_MS) this.#windows.delete(message);
    }
    return this.#windows.size < MAX_MESSAGES;
  }
}
