import { FloeError } from '@floe/runtime';
import * as v from 'valibot';

/** Parallel evaluations compete for the cache's SQLite file, which costs more than the cache saves. */
export const NO_EVAL_CACHE = ['--option', 'eval-cache', 'false'];

/** Parses the JSON that a Nix command printed. Throws NIX_ANSWER_UNEXPECTED when it does not match the schema. */
export function parseAnswer<Schema extends v.GenericSchema>(schema: Schema, stdout: string): v.InferOutput<Schema> {
  try {
    return v.parse(schema, JSON.parse(stdout));
  } catch (cause) {
    throw new FloeError('NIX_ANSWER_UNEXPECTED', `Nix printed something unexpected: ${stdout.slice(0, 200)}`, { cause });
  }
}

/** As {@link parseAnswer}, but returns undefined when it does not match. */
export function tryParseAnswer<Schema extends v.GenericSchema>(schema: Schema, stdout: string): v.InferOutput<Schema> | undefined {
  try {
    const parsed = v.safeParse(schema, JSON.parse(stdout));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
