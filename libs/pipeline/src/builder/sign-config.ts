import { PublicKey } from '@floe/protocol';
import type { SignCommand } from '@floe/runtime';
import * as v from 'valibot';
import type { SettingsReader } from './settings-reader.ts';

const Argument = v.pipe(v.string(), v.maxLength(4096), v.regex(/^[^\0]*$/));
const Program = v.pipe(Argument, v.startsWith('/'));
/** The path alone, or a list in JSON. */
export const Command = v.union([
  v.pipe(
    Program,
    v.transform((path): [string, ...string[]] => [path]),
  ),
  v.pipe(v.string(), v.parseJson(), v.tupleWithRest([Program], Argument), v.maxLength(64)),
]);

/** The command that signs releases; undefined: a key in a file does. */
export function parseSignCommand(read: SettingsReader): SignCommand | undefined {
  const what = 'the absolute path of a program, or a list of it and its arguments in JSON, such as ["/run/current-system/sw/bin/sign","--slot","1"]';
  const command = read.checked<[string, ...string[]] | undefined>('FLOE_SIGN_COMMAND', Command, undefined, what);
  const publicKey = read.checked<string | undefined>(
    'FLOE_SIGN_PUBLIC_KEY',
    PublicKey,
    undefined,
    'the public part of an Ed25519 key: 32 bytes in base64',
  );
  const isSet = (name: string): boolean => read.value(name) !== undefined;
  if (isSet('FLOE_SIGN_COMMAND') !== isSet('FLOE_SIGN_PUBLIC_KEY'))
    read.problem(
      'FLOE_SIGN_COMMAND and FLOE_SIGN_PUBLIC_KEY belong together: set the command that signs releases and the key that it signs with, or neither',
    );
  return command === undefined || publicKey === undefined ? undefined : { command, publicKey };
}
