import { MAX_DURATION_MS } from '@floe/model';

/**
 * Hosts remember what they accepted, and take nothing below it: what is signed for whoever owns the database is at most so far ahead of this
 * machine's clock. A clock that was further ahead had hosts forget their state anyway.
 */
const MOST_AHEAD_MS = MAX_DURATION_MS;

/** The latest time that was ever used in a statement, or now. */
export function boundedLatest(latest: number, now: number): number {
  return Math.min(Math.max(now, latest), now + MOST_AHEAD_MS);
}

/** Twice as far: a release ends a year after the latest time. */
export function isTimeFarAhead(time: number, now: number): boolean {
  return time > now + 2 * MOST_AHEAD_MS;
}
