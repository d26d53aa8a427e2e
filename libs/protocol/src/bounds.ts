import { MAX_BYTES, MAX_COUNTER, MAX_DURATION_MS, MAX_TEXT_CHARACTERS, MAX_TIME_MS, storableText } from '@floe/model';
import * as v from 'valibot';

// The numbers, texts and lists of which messages, statements, answers and policies consist. A test walks all schemas of this
// package and fails for an unbounded one.

/** Milliseconds since 1970-01-01 UTC, until the year 2200. */
export const Timestamp = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_TIME_MS));
/** A counter that only grows. The bound leaves room to increment an accepted value. */
export const Counter = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_COUNTER));
/** A size in bytes. */
export const ByteSize = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_BYTES));
/** A measured duration in ms. */
export const DurationMs = v.pipe(v.number(), v.minValue(0), v.maxValue(MAX_DURATION_MS));

/** Text for people, in any language. Characters that a database rejects are replaced; longer text is refused. */
export function prose(maxCharacters: number = MAX_TEXT_CHARACTERS) {
  return v.pipe(
    v.string(),
    v.maxLength(maxCharacters),
    v.transform((text) => storableText(text, maxCharacters)),
  );
}

/** Text for programs: printable ASCII, e.g. a version, a platform, a key id. */
export function word(maxCharacters: number) {
  return v.pipe(v.string(), v.maxLength(maxCharacters), v.regex(/^[\x20-\x7E]*$/, 'only printable ASCII is allowed here'));
}

/** More hosts than any fleet has. An answer with more of them is invalid. */
export const MAX_HOSTS = 100_000;

/** A list of at most `maxItems`. */
export function list<Item extends v.GenericSchema>(item: Item, maxItems: number) {
  return v.pipe(v.array(item), v.maxLength(maxItems));
}

/**
 * A schema for input from untrusted clients: stops at the first issue. Otherwise a list of 120,000 invalid items would produce as
 * many issues, each with a path, and take seconds.
 */
export function foreign<Schema extends v.GenericSchema>(schema: Schema): Schema {
  return v.config(schema, { abortEarly: true });
}
