import { FloeError } from '@floe/runtime';
import * as v from 'valibot';

/** Parallel evaluations fight over the cache's SQLite file: it costs more than it saves. */
export const NO_EVAL_CACHE = ['--option', 'eval-cache', 'false'];

/** Parses what a Nix command printed as JSON; what does not fit is NIX_ANSWER_UNEXPECTED. */
export function parseAnswer<Schema extends v.GenericSchema>(schema: Schema, stdout: string): v.InferOutput<Schema> {
  try {
    return v.parse(schema, JSON.parse(stdout));
  } catch (cause) {
    throw new FloeError('NIX_ANSWER_UNEXPECTED', `Nix printed something unexpected: ${stdout.slice(0, 200)}`, { cause });
  }
}

/** As {@link parseAnswer}; undefined for what does not fit. */
export function tryParseAnswer<Schema extends v.GenericSchema>(schema: Schema, stdout: string): v.InferOutput<Schema> | undefined {
  try {
    const parsed = v.safeParse(schema, JSON.parse(stdout));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
