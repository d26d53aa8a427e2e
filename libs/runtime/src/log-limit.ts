/** Lines of one message that are written in one minute. A fleet that comes back at once says "connected" once per host. */
const LINES_PER_MINUTE = 200;
const MINUTE_MS = 60_000;
/** Far more than there are static messages. A few are made of what is wrong, so that there is no end to them. */
const MAX_MESSAGES = 1_000;

/** The name under which all messages count that have no room of their own. */
const OTHERS = '';

interface Window {
  readonly since: number;
  lines: number;
}

/** What is to be done with a line: write it, write it as the last one of its minute, or leave it out. */
export type Allowance = { readonly kind: 'write'; readonly leftOut: number } | { readonly kind: 'last' } | { readonly kind: 'omit' };

/**
 * Bounds the log: strangers can cause warnings as often as they like, and a full disk stops more than the log. One limit per
 * message leaves the others alone; messages beyond {@link MAX_MESSAGES} in a minute have one limit together.
 */
export class LogLimit {
  readonly #windows = new Map<string, Window>();

  /** `now` in milliseconds, of a clock that may jump: a window that begins in the future is over. */
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
      // One of which lines were left out stays: the next one says how many.
      if (lines < LINES_PER_MINUTE && Math.abs(now - since) >= MINUTE_MS) this.#windows.delete(message);
    }
    return this.#windows.size < MAX_MESSAGES;
  }
}
