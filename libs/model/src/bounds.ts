// How large what others say may be. One set for messages, statements, answers, tables and views: what is let in can be
// counted on, stored, read back and shown.

/**
 * The highest counter that is let in. Numbers stay exact up to 2^53, so whatever was let in can still be counted on:
 * once a millisecond for 140,000 years.
 */
export const MAX_COUNTER = 2 ** 52;
/** The largest size, in bytes: 4 PiB. Sums of thousands of them stay exact. */
export const MAX_BYTES = 2 ** 52;
/**
 * The last instant, in ms: the start of the year 2200. The first is 1970: a machine without a battery starts there, and
 * its reports are no worse for it.
 */
export const MAX_TIME_MS = 7_258_118_400_000;
/** The longest duration, in ms: ten years. */
export const MAX_DURATION_MS = 10 * 365.25 * 24 * 3_600_000;
/** The longest text that is kept or shown, in UTF-16 units. */
export const MAX_TEXT_CHARACTERS = 16_384;
/** The longest name in `nixosConfigurations` that is kept or shown. */
export const MAX_ATTRIBUTE_CHARACTERS = 1024;

/**
 * Text that every column, JSON text and terminal can hold: Postgres refuses NUL in text and half a surrogate pair in
 * jsonb. What is longer than `maxCharacters` is cut, with an ellipsis as its last character.
 */
export function storableText(text: string, maxCharacters = MAX_TEXT_CHARACTERS): string {
  const whole = text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
  return whole.replaceAll('\0', '\uFFFD').toWellFormed();
}

/** A clock's time inside the bounds: what a broken clock says may still be told to others. */
export function boundedTime(ms: number): number {
  return Number.isFinite(ms) ? Math.min(MAX_TIME_MS, Math.max(0, Math.trunc(ms))) : 0;
}
