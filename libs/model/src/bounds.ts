// Bounds of what comes from outside. Messages, statements, API answers, tables and views share them, so that every accepted value
// can be added to, stored, read back and shown.

/**
 * The highest counter that is accepted. Numbers are exact up to 2^53, so an accepted counter can still be incremented: once a
 * millisecond for 140,000 years.
 */
export const MAX_COUNTER = 2 ** 52;
/** The largest size, in bytes: 4 PiB. Sums of thousands of them stay exact. */
export const MAX_BYTES = 2 ** 52;
/**
 * The last time that is accepted, in ms: the start of the year 2200. The first is 1970: a machine without a battery starts its
 * clock there, and its reports are still valid.
 */
export const MAX_TIME_MS = 7_258_118_400_000;
/** The longest duration, in ms: ten years. */
export const MAX_DURATION_MS = 10 * 365.25 * 24 * 3_600_000;
/** The longest text that is stored or shown, in UTF-16 units. */
export const MAX_TEXT_CHARACTERS = 16_384;
/** The longest name in `nixosConfigurations` that is stored or shown. */
export const MAX_ATTRIBUTE_CHARACTERS = 1024;

/**
 * Makes text that every column, JSON document and terminal can hold: Postgres rejects NUL in text, and half a surrogate pair in
 * jsonb. Text longer than `maxCharacters` is cut, and ends with an ellipsis.
 */
export function storableText(text: string, maxCharacters = MAX_TEXT_CHARACTERS): string {
  const whole = text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
  // Most texts are so already: to look is faster than to write them again.
  return (whole.includes('\0') ? whole.replaceAll('\0', '\uFFFD') : whole).toWellFormed();
}

/** Limits a clock's time to the bounds above, so that the time of a broken clock can be sent and stored. */
export function boundedTime(ms: number): number {
  return Number.isFinite(ms) ? Math.min(MAX_TIME_MS, Math.max(0, Math.trunc(ms))) : 0;
}
