import { generateKeyPairSync } from 'node:crypto';
import { FloeError, readFileIfPresent, readGivenKey, writeFileDurably } from '@floe/runtime';

export interface CacheKey {
  /** In Nix's format, readable only by its owner. */
  readonly secretKeyFile: string;
  /** `name:base64`, for `trusted-public-keys`. */
  readonly publicKey: string;
}

/** Ed25519 secret keys in Nix's format are the seed and the public key, 64 bytes. */
const SEED_BYTES = 32;
const SECRET_BYTES = 64;

/**
 * The key that signs published paths; created on first use. Throws CACHE_KEY_INVALID when the file has other content: it is not
 * replaced, because the fleet trusts the key that was in it.
 */
export async function loadOrCreateCacheKey(path: string, name: string): Promise<CacheKey> {
  const existing = await readFileIfPresent(path);
  if (existing !== undefined) return { secretKeyFile: path, publicKey: publicKeyOf(existing.trim(), path) };
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d, x } = privateKey.export({ format: 'jwk' });
  if (d === undefined || x === undefined) throw new FloeError('CACHE_KEY_INVALID', 'the system made no Ed25519 key');
  const secret = Buffer.concat([Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')]);
  const text = `${name}:${secret.toString('base64')}`;
  await writeFileDurably(path, text, 0o600);
  return { secretKeyFile: path, publicKey: publicKeyOf(text, path) };
}

/** The key stored in `path`, which somebody put there: nothing is made. Throws CACHE_KEY_INVALID and KEY_UNREADABLE. */
export async function loadCacheKey(path: string): Promise<CacheKey> {
  return { secretKeyFile: path, publicKey: publicKeyOf((await readGivenKey(path, 'of the cache')).trim(), path) };
}

function publicKeyOf(text: string, path: string): string {
  const [name, base64] = text.split(':');
  const secret = Buffer.from(base64 ?? '', 'base64');
  if (name === undefined || name === '' || secret.length !== SECRET_BYTES) {
    throw new FloeError(
      'CACHE_KEY_INVALID',
      `${path} holds no Nix signing key: restore the key from a backup, or move the file away to get a new one (every host must then trust the new one)`,
    );
  }
  return `${name}:${secret.subarray(SEED_BYTES).toString('base64')}`;
}
