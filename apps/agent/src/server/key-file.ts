import { hkdfSync } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { FloeError, readFileIfPresent, signerFromPem, type Signer } from '@floe/runtime';
import type { MachineId } from '@floe/protocol';

/** A key that makes a machine the one that it is, and the machine id that belongs to the key. */
export interface HostKey {
  readonly signer: Signer;
  readonly machineId: MachineId;
}

/** What each machine's key is called. Not by its host: a host's name may be longer than what a key may be called, and it may change. */
export const HOST_KEY_ID = 'host';

const NO_SALT = '';
const KEY_USE = 'floe agent key 1';
const MACHINE_USE = 'floe machine id 1';

/** DER of an Ed25519 PKCS#8 private key without its 32 bytes (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const OPENSSH_HEAD = '-----BEGIN OPENSSH PRIVATE KEY-----';
const OPENSSH_FOOT = '-----END OPENSSH PRIVATE KEY-----';
const OPENSSH_MAGIC = Buffer.from('openssh-key-v1\0');
/** Others than the owner and its group. */
const ANYBODY = 0o007;

/**
 * The key of a file that an administrator keeps on this machine. From an SSH key a key of Floe's own is derived, so that neither is ever used
 * for what the other is for; a PEM key is used as it is. Throws `FloeError`s that say what to do.
 */
export async function readKeyFile(path: string): Promise<HostKey> {
  const text = await textOf(path);
  if (text === undefined) {
    throw new FloeError(
      'IDENTITY_KEY_MISSING',
      `the key of this machine is missing: there is no ${path}. Restore it, or make it (ssh-keygen -t ed25519 -N "" -f ${path}), or have services.floe.agent.identity.keyFile name another file`,
      { data: { path } },
    );
  }
  if (((await stat(path)).mode & ANYBODY) !== 0) {
    throw new FloeError('IDENTITY_KEY_OPEN', `every user of this machine can read its key: chmod 600 ${path}`, { data: { path } });
  }
  const seed = seedOfOpenSsh(text, path);
  const signer = signerFromPem(HOST_KEY_ID, seed === undefined ? text : pemOf(Buffer.from(hkdfSync('sha256', seed, NO_SALT, KEY_USE, 32))));
  return { signer, machineId: machineIdOf(signer) };
}

/** Undefined: nothing is there. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFileIfPresent(path);
  } catch (cause) {
    const { code = 'unknown' } = cause as NodeJS.ErrnoException;
    if (code === 'ENOTDIR') return undefined;
    throw new FloeError('KEY_UNREADABLE', `the key of this machine cannot be read (${code}): ${path} is to be a file that root may read`, {
      data: { path },
      cause,
    });
  }
}

/** A machine that forgets has another machine id at each start; the one of its key stays. */
function machineIdOf({ publicKey }: Signer): MachineId {
  return Buffer.from(hkdfSync('sha256', Buffer.from(publicKey, 'base64'), NO_SALT, MACHINE_USE, 16)).toString('hex');
}

function pemOf(seed: Uint8Array): string {
  return `-----BEGIN PRIVATE KEY-----\n${Buffer.concat([PKCS8_PREFIX, seed]).toString('base64')}\n-----END PRIVATE KEY-----\n`;
}

/** The 32 secret bytes of an Ed25519 key as ssh-keygen writes it; undefined: it is no file of OpenSSH. */
function seedOfOpenSsh(text: string, path: string): Buffer | undefined {
  const whole = text.trim();
  if (!whole.startsWith(OPENSSH_HEAD)) return undefined;
  const unusable = (why: string): FloeError =>
    new FloeError('KEY_UNREADABLE', `${path} ${why}: the agent needs an Ed25519 key without a passphrase (ssh-keygen -t ed25519 -N "")`, {
      data: { path },
    });
  if (!whole.endsWith(OPENSSH_FOOT)) throw unusable('is cut off');
  const bytes = Buffer.from(whole.slice(OPENSSH_HEAD.length, -OPENSSH_FOOT.length), 'base64');
  let at = OPENSSH_MAGIC.length;
  const word = (): number => {
    if (at + 4 > bytes.length) throw unusable('is cut off');
    at += 4;
    return bytes.readUInt32BE(at - 4);
  };
  const field = (): Buffer => {
    const length = word();
    if (at + length > bytes.length) throw unusable('is cut off');
    at += length;
    return bytes.subarray(at - length, at);
  };
  if (!bytes.subarray(0, at).equals(OPENSSH_MAGIC)) throw unusable('is no private key of OpenSSH');
  const cipher = field().toString('latin1');
  field(); // How a passphrase becomes a key, and with which numbers.
  field();
  if (cipher !== 'none') throw unusable('has a passphrase');
  if (word() !== 1) throw unusable('does not hold one key');
  field(); // The public key.
  word(); // The secret part's length; then a number twice, by which a wrong passphrase shows.
  if (word() !== word()) throw unusable('is damaged');
  const kind = field().toString('latin1');
  if (kind !== 'ssh-ed25519') throw unusable(`holds a key of the kind ${kind.slice(0, 40)}`);
  const publicKey = field();
  const secret = field();
  if (publicKey.length !== 32 || secret.length !== 64 || !secret.subarray(32).equals(publicKey)) throw unusable('is damaged');
  const seed = secret.subarray(0, 32);
  // Bytes that changed on the disk would make another machine of this one.
  if (signerFromPem(path, pemOf(seed)).publicKey !== publicKey.toString('base64')) throw unusable('is damaged');
  return seed;
}
