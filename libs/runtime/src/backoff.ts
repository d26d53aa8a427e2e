/** Exponential growth between `baseMs` and `capMs`. */
export interface BackoffOptions {
  readonly baseMs: number;
  readonly capMs: number;
}

/**
 * The delay before try number `attempt` (0 = the first retry), in ms: uniformly between 0 and the exponential bound.
 * Full jitter spreads a fleet that lost its server at one instant (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
 */
export function fullJitter(attempt: number, options: BackoffOptions, random: () => number): number {
  const bound = Math.min(options.capMs, options.baseMs * 2 ** Math.min(attempt, 30));
  return Math.floor(random() * bound);
}
