import { MAX_BYTES, MAX_COUNTER, MAX_DURATION_MS, MAX_TEXT_CHARACTERS, MAX_TIME_MS, storableText } from '@floe/model';
import * as v from 'valibot';

// The only numbers, texts and lists that messages, statements, answers and policies are made of. A test walks all
// schemas of this lib and fails for one that is not bounded.

/** Milliseconds since 1970-01-01 UTC, until the year 2200. */
export const Timestamp = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_TIME_MS));
/** A counter that only grows, with room above what is let in. */
export const Counter = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_COUNTER));
/** A size in bytes. */
export const ByteSize = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_BYTES));
/** A measured duration in ms. */
export const DurationMs = v.pipe(v.number(), v.minValue(0), v.maxValue(MAX_DURATION_MS));

/** What people read, in any language: what no database takes in it is replaced, what is too long is refused. */
export function prose(maxCharacters: number = MAX_TEXT_CHARACTERS) {
  return v.pipe(
    v.string(),
    v.maxLength(maxCharacters),
    v.transform((text) => storableText(text, maxCharacters)),
  );
}

/** What programs read: printable ASCII, e.g. a version, a platform, a key id. */
export function word(maxCharacters: number) {
  return v.pipe(v.string(), v.maxLength(maxCharacters), v.regex(/^[\x20-\x7E]*$/, 'only printable ASCII is allowed here'));
}

/** A list with an end. */
export function list<Item extends v.GenericSchema>(item: Item, maxItems: number) {
  return v.pipe(v.array(item), v.maxLength(maxItems));
}

/**
 * The schema for input from strangers: it ends with the first problem. A list of 120,000 wrong items else makes as many
 * problems, each with a path, and takes seconds.
 */
export function foreign<Schema extends v.GenericSchema>(schema: Schema): Schema {
  return v.config(schema, { abortEarly: true });
}
