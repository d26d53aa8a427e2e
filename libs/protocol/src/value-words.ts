import { oneLine } from '@floe/model';

const MAX_VALUE_CHARACTERS = 60;

/** Foreign text on one line, cut where it is longer than that. */
export function shortLine(text: string, maxCharacters = MAX_VALUE_CHARACTERS): string {
  const line = oneLine(text);
  return line.length <= maxCharacters ? line : `${line.slice(0, maxCharacters - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** A value in a sentence about it: sets and lists are not written out. */
export function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '[]' : 'the list';
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0 ? '{}' : 'the set';
  return typeof value === 'string' ? shortLine(JSON.stringify(value)) : String(value);
}

/** What is said of a key that is not known, after the path of it. */
export function unknownKey(meant: string | undefined, known: readonly string[]): string {
  if (meant !== undefined) return `unknown key; did you mean ${meant}?`;
  return known.length === 0 ? 'unknown key; leave it out' : `unknown key; the keys here are ${known.join(', ')}`;
}
