import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, sign, verify, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { FloeError } from './errors.ts';
import { readFileIfPresent } from './files.ts';
import { writeFileDurably } from './replace-file.ts';

/** An Ed25519 signing key, with the name under which others pin it. */
export interface Signer {
  readonly keyId: string;
  /** 32 raw bytes, base64. */
  readonly publicKey: string;
  sign(bytes: Uint8Array): string;
}

/** The same, where the key may be elsewhere: a signature takes time, and may fail. */
export interface AsyncSigner extends Omit<Signer, 'sign'> {
  sign(bytes: Uint8Array): string | Promise<string>;
}

// DER of an Ed25519 SubjectPublicKeyInfo without the 32 key bytes (RFC 8410).
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

function rawPublicKey(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(SPKI_PREFIX.length).toString('base64');
}

/** A signer over a PKCS#8 PEM private key. Throws `FloeError('KEY_UNREADABLE')` when it is not an Ed25519 key. */
export function signerFromPem(keyId: string, pem: string): Signer {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is of type ${key.asymmetricKeyType}`);
  } catch (cause) {
    throw new FloeError('KEY_UNREADABLE', `the key ${keyId} is not an Ed25519 private key in PEM`, { data: { keyId }, cause });
  }
  return { keyId, publicKey: rawPublicKey(key), sign: (bytes) => sign(null, bytes, key).toString('base64') };
}

/** A new Ed25519 private key as PKCS#8 PEM. */
export function generateKeyPem(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The signer stored in `path` (mode 0600), created on first use. */
export async function loadOrCreateSigner(path: string, keyId: string): Promise<Signer> {
  const existing = await readFileIfPresent(path);
  if (existing !== undefined) return signerFromPem(keyId, existing);
  const pem = generateKeyPem();
  await writeFileDurably(path, pem, 0o600);
  return signerFromPem(keyId, pem);
}

/** The signer stored in `path`, which somebody put there: nothing is made. Throws `FloeError('KEY_UNREADABLE')`. */
export async function loadSigner(path: string, keyId: string): Promise<Signer> {
  return signerFromPem(keyId, await readGivenKey(path, keyId));
}

/** The text of a key that somebody put into `path`. Throws `FloeError('KEY_UNREADABLE')`. */
export async function readGivenKey(path: string, keyId: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new FloeError(
      'KEY_UNREADABLE',
      `the key ${keyId} in ${path} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`,
      {
        data: { keyId },
        cause,
      },
    );
  });
}

/** True when `signature` (base64) over `bytes` was made by the holder of `publicKey` (32 raw bytes, base64). Never throws. */
export function verifySignature(publicKey: string, bytes: Uint8Array, signature: string): boolean {
  try {
    const der = Buffer.concat([SPKI_PREFIX, Buffer.from(publicKey, 'base64')]);
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
    return verify(null, bytes, key, Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}

/** The SHA-256 of it: 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer');
}
