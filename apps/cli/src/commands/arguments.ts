import { CommitSha, HostName } from '@floe/protocol';
import { InvalidArgumentError } from 'commander';
import * as v from 'valibot';

function parsed<Schema extends v.GenericSchema<string, unknown>>(schema: Schema, text: string): v.InferOutput<Schema> {
  const result = v.safeParse(schema, text);
  if (!result.success) throw new InvalidArgumentError(result.issues[0].message);
  return result.output;
}

/** A host's name, or a usage error. */
export function hostArgument(text: string): HostName {
  return parsed(HostName, text);
}

/** A whole commit id or the word "clock", or a usage error. */
export function acceptArgument(text: string): CommitSha | 'clock' {
  return text === 'clock' ? text : parsed(CommitSha, text.toLowerCase());
}

/** The beginning of a commit id, as much as the server needs to tell it from others. */
export function commitPrefixArgument(text: string): string {
  return parsed(v.pipe(v.string(), v.toLowerCase(), v.regex(/^[0-9a-f]{7,40}$/, 'a commit is given by 7 to 40 hex digits')), text);
}

/** Why an administrator does something: kept in the history, so it may not be empty. */
export function reasonArgument(text: string): string {
  return parsed(v.pipe(v.string(), v.trim(), v.nonEmpty('say why in a few words')), text);
}

/** A number of rows. */
export function limitArgument(text: string): number {
  return parsed(
    v.pipe(
      v.string(),
      v.regex(/^[1-9]\d{0,3}$/, 'a whole number from 1 to 9999'),
      v.transform((digits) => Number(digits)),
    ),
    text,
  );
}
