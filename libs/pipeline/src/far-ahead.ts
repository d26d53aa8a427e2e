import { MAX_DURATION_MS } from '@floe/model';

/** More than any fleet has commits without a release among them. */
export const MOST_SEQUENCES_AHEAD = 100_000;

/**
 * Hosts remember what they accepted, and take nothing below it: what is signed for whoever owns the database is at most so far ahead of this
 * machine's clock. A clock that was further ahead had hosts forget their state anyway.
 */
const MOST_AHEAD_MS = MAX_DURATION_MS;

/** `newest`: the newest sequence that was signed; undefined: none was. */
export function isSequenceFarAhead(sequence: number, newest: number | undefined): boolean {
  return newest !== undefined && sequence > newest + MOST_SEQUENCES_AHEAD;
}

/** The latest time that was ever used in a statement, or now. */
export function boundedLatest(latest: number, now: number): number {
  return Math.min(Math.max(now, latest), now + MOST_AHEAD_MS);
}

/** Twice as far: a release ends a year after the latest time. */
export function isTimeFarAhead(time: number, now: number): boolean {
  return time > now + 2 * MOST_AHEAD_MS;
}
