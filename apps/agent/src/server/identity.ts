import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { MachineId, type HostName } from '@floe/protocol';
import { FloeError, isFloeError, loadOrCreateSigner, readFileIfPresent, type Logger, type Signer, writeFileDurably } from '@floe/runtime';
import * as v from 'valibot';
import type { StatePaths } from '../state/state-folder.ts';
import { readRecord } from './enrolment-record.ts';
import { HOST_KEY_ID, readKeyFile, type HostKey } from './key-file.ts';

/** The agent's name, key and machine. */
export interface Identity {
  readonly host: HostName;
  /** The name that it had before, by its own configuration. */
  readonly formerHost?: HostName | undefined;
  readonly machineId: MachineId;
  readonly bootId: string;
  /** Nix's platform, e.g. `x86_64-linux`. */
  readonly system: string;
  readonly signer: Signer;
  /** After the server refused the key: whether there is another one of this machine to try, which is used from here on. */
  readonly useOther?: () => boolean;
  /** The server took the key. */
  readonly settled?: () => void;
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64', ia32: 'i686', riscv64: 'riscv64' };

/** Nix's name of the platform that this process runs on. */
export function nixSystem(arch: string, platform: string): string {
  return `${ARCHITECTURES[arch] ?? arch}-${platform}`;
}

interface KeyOptions {
  readonly root: string | undefined;
  readonly paths: StatePaths;
  /** The file of the machine's key, by its configuration; undefined: a key of its own in the state folder. */
  readonly keyFile: string | undefined;
  readonly logger: Logger;
}

type IdentityOptions = KeyOptions & Pick<Identity, 'host' | 'formerHost' | 'bootId' | 'system'>;

interface LoadedKey extends HostKey {
  /** Undefined: the state folder's own. */
  readonly keyFile: string | undefined;
}

/**
 * The identity of a running agent. Its key may come late (a disk that is mounted, sshd that makes its own), so it is loaded apart: {@link load}.
 * A machine can have two keys, after its configuration began to name a file: the server decides which one it knows.
 */
export class AgentIdentity implements Identity {
  readonly #options: IdentityOptions;
  #keys: readonly LoadedKey[] = [];
  #used: LoadedKey | undefined;
  readonly #refused = new Set<LoadedKey>();

  constructor(options: IdentityOptions) {
    this.#options = options;
  }

  get host(): HostName {
    return this.#options.host;
  }

  get formerHost(): HostName | undefined {
    return this.#options.formerHost;
  }

  get bootId(): string {
    return this.#options.bootId;
  }

  get system(): string {
    return this.#options.system;
  }

  get machineId(): MachineId {
    return this.#key.machineId;
  }

  get signer(): Signer {
    return this.#key.signer;
  }

  /** Where the key is that is used; undefined: the state folder's own. */
  get keyFile(): string | undefined {
    return this.#key.keyFile;
  }

  get #key(): LoadedKey {
    if (this.#used === undefined) throw new Error('the key was not loaded');
    return this.#used;
  }

  /**
   * Loads the key, unless it is loaded. The own key, and a folder's machine id, are made on first use; the key of a file never is.
   * Throws `FloeError`s that say what to do.
   */
  async load(): Promise<void> {
    if (this.#used !== undefined) return;
    ({ keys: this.#keys, used: this.#used } = await loadKeys(this.#options));
  }

  /** From here on, the key that is to be enrolled: the file's where there is one. */
  useFirst(): void {
    this.#used = this.#keys[0];
  }

  useOther(): boolean {
    this.#refused.add(this.#key);
    const other = this.#keys.find((key) => !this.#refused.has(key));
    if (other === undefined) this.#refused.clear();
    this.#used = other ?? this.#keys[0];
    return other !== undefined;
  }

  settled(): void {
    this.#refused.clear();
  }
}

/** The keys that this machine has, that of a file first, and the one that it uses until the server says otherwise. As {@link AgentIdentity.load}. */
export async function loadKeys(options: KeyOptions): Promise<{ readonly keys: readonly LoadedKey[]; readonly used: LoadedKey }> {
  const { keyFile, paths, logger } = options;
  const record = await readRecord(paths);
  const file = keyFile ?? record?.keyFile;
  if (file === undefined) return onlyKey(await ownKey(options));
  const own = (await readFileIfPresent(paths.key)) === undefined ? undefined : await tried(ownKey(options));
  const ofFile = await tried(readKeyFile(file).then((key): LoadedKey => ({ ...key, keyFile: file })));
  // One that was enrolled with its own key keeps that, until it is enrolled again, or its state is lost.
  const isEnrolledWithOwn = record !== undefined && record.keyFile === undefined;
  if (isFloeError(own)) {
    if (isEnrolledWithOwn) throw own;
    if (isFloeError(ofFile)) throw ofFile;
    logger.error('the key in the state folder cannot be used; the key file is', { error: own });
    return onlyKey(ofFile);
  }
  if (isFloeError(ofFile)) {
    if (own === undefined) throw ofFile;
    logger.error('the key file cannot be used; the key in the state folder is', { error: ofFile });
    return onlyKey(own);
  }
  return own === undefined ? onlyKey(ofFile) : { keys: [ofFile, own], used: isEnrolledWithOwn ? own : ofFile };
}

/** The key, or why it cannot be used. */
async function tried(key: Promise<LoadedKey>): Promise<LoadedKey | FloeError> {
  try {
    return await key;
  } catch (error) {
    if (!isFloeError(error)) throw error;
    return error;
  }
}

function onlyKey(key: LoadedKey): { readonly keys: readonly LoadedKey[]; readonly used: LoadedKey } {
  return { keys: [key], used: key };
}

async function ownKey({ root, paths }: KeyOptions): Promise<LoadedKey> {
  const [machineId, signer] = await Promise.all([readMachineId(root), loadOrCreateSigner(paths.key, HOST_KEY_ID)]);
  return { machineId, signer, keyFile: undefined };
}

async function readMachineId(root: string | undefined): Promise<MachineId> {
  const path = join(root ?? '/', 'etc/machine-id');
  const text = (await readFileIfPresent(path))?.trim();
  if (text !== undefined && v.is(MachineId, text)) return text;
  if (root === undefined || text !== undefined) {
    throw new FloeError('MACHINE_ID_INVALID', `${path} does not hold a machine id (32 hex digits): run systemd-machine-id-setup`, { data: { path } });
  }
  const made = randomBytes(16).toString('hex');
  await writeFileDurably(path, `${made}\n`, 0o644);
  return made;
}
