import { writeFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** What a program says that signs with a token that is not plugged in. */
export const NO_TOKEN = 'no token in slot 7';

/** A program that signs while its token is plugged in, with a key that Floe does not have. */
export interface SigningDevice {
  readonly command: readonly [string, string];
  plug(): Promise<void>;
  unplug(): Promise<void>;
}

export async function makeSigningDevice(dir: string, pem: string): Promise<SigningDevice> {
  const [program, token] = [join(dir, 'sign-with-token'), join(dir, 'token.pem')];
  const text = `#!${process.execPath}
const { readFileSync } = require('node:fs');
let key;
try {
  key = readFileSync(process.argv[2]);
} catch {
  console.error('${NO_TOKEN}');
  process.exit(1);
}
process.stdout.write(require('node:crypto').sign(null, readFileSync(0), key));
`;
  await writeFile(program, text, { mode: 0o755 });
  return {
    command: [program, token],
    plug: async () => await writeFile(token, pem, { mode: 0o600 }),
    unplug: async () => await rm(token, { force: true }),
  };
}
