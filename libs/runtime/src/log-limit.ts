/** Lines of one message that are written in one minute. A fleet that comes back at once says "connected" once per host. */
const LINES_PER_MINUTE = 200;
const MINUTE_MS = 60_000;

interface Window {
  readonly since: number;
  lines: number;
}

/** What is to be done with a line: write it, write it as the last one of its minute, or leave it out. */
export type Allowance = { readonly kind: 'write'; readonly leftOut: number } | { readonly kind: 'last' } | { readonly kind: 'omit' };

/**
 * Bounds the log: strangers can cause warnings as often as they like, and a full disk stops more than the log. Messages are
 * static texts (facts are in fields), so their number is small, and one limit per message leaves the others alone.
 */
export class LogLimit {
  readonly #windows = new Map<string, Window>();

  /** `now` in milliseconds, of a clock that may jump: a window that begins in the future is over. */
  allow(message: string, now: number): Allowance {
    const window = this.#windows.get(message);
    if (window === undefined || now - window.since >= MINUTE_MS || now < window.since) {
      this.#windows.set(message, { since: now, lines: 1 });
      return { kind: 'write', leftOut: Math.max(0, (window?.lines ?? 0) - LINES_PER_MINUTE) };
    }
    window.lines += 1;
    if (window.lines < LINES_PER_MINUTE) return { kind: 'write', leftOut: 0 };
    return { kind: window.lines === LINES_PER_MINUTE ? 'last' : 'omit' };
  }
}
