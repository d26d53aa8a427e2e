import { join } from 'node:path';
import { PublicKey, type TrustedKey } from '@floe/protocol';
import { writeFileDurably } from '@floe/runtime';
import * as v from 'valibot';
import type { Builder } from './builder.ts';
import { loadBuilderKeys, type KeyFiles, type Signing } from './builder-keys.ts';

/** In the data folder of a builder of its own process: what a server has to know of it, and anybody may. */
export const PUBLIC_KEYS_FILE = 'public-keys.json';

const KeyText = v.pipe(
  v.string(),
  v.regex(/^[\w.-]{1,64}:[\w+/=]{1,100}$/),
  v.transform((text) => text.split(':')),
  v.check(([, key = '']) => v.is(PublicKey, key), 'a key as NAME:KEY'),
);
const PublicKeysFile = v.strictObject({
  releaseKeys: v.pipe(v.array(KeyText), v.minLength(1), v.maxLength(8)),
  /** In Nix's format. */
  cachePublicKeys: v.pipe(v.array(v.pipe(v.string(), v.regex(/^[\w.-]{1,100}:[\w+/=]{1,100}$/))), v.minLength(1), v.maxLength(8)),
});

export interface PublicKeys {
  readonly releaseKeys: readonly TrustedKey[];
  readonly cachePublicKeys: readonly string[];
}

/** What the file says; undefined: it is none. */
export function parsePublicKeys(text: string): PublicKeys | undefined {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), PublicKeysFile), text);
  if (!parsed.success) return undefined;
  const { releaseKeys, cachePublicKeys } = parsed.output;
  return { releaseKeys: releaseKeys.map(([keyId = '', publicKey = '']) => ({ keyId, publicKey })), cachePublicKeys };
}

function formatted(releaseKeys: readonly TrustedKey[], cachePublicKeys: readonly string[]): string {
  const keys = { releaseKeys: releaseKeys.map(({ keyId, publicKey }) => `${keyId}:${publicKey}`), cachePublicKeys };
  return `${JSON.stringify(keys satisfies Record<keyof PublicKeys, readonly string[]>, null, 2)}\n`;
}

/** The text of the file, for the command that signs, or the keys in `files` and those of the data folder, which are made when there are none. */
export async function readOrMakePublicKeys(dataDir: string, files: KeyFiles, signing: Signing): Promise<string> {
  const { releaseSigner, cacheKey } = await loadBuilderKeys(dataDir, files, signing);
  return formatted([releaseSigner], [cacheKey.publicKey]);
}

/** Writes the file; resolves to its path. */
export async function writePublicKeys(
  { releaser, cachePublicKeys }: Pick<Builder, 'releaser' | 'cachePublicKeys'>,
  dataDir: string,
): Promise<string> {
  const path = join(dataDir, PUBLIC_KEYS_FILE);
  await writeFileDurably(path, formatted(releaser.keys, cachePublicKeys), 0o644);
  return path;
}
