import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { MachineId, type HostName } from '@floe/protocol';
import { FloeError, loadOrCreateSigner, readBootId, readFileIfPresent, type Signer, writeFileDurably } from '@floe/runtime';
import * as v from 'valibot';
import type { StatePaths } from '../state/state-folder.ts';

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
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64', ia32: 'i686', riscv64: 'riscv64' };

/** Nix's name of the platform that this process runs on. */
export function nixSystem(arch: string, platform: string): string {
  return `${ARCHITECTURES[arch] ?? arch}-${platform}`;
}

/** Reads the identity; the key, and a folder's machine id, are made on first use. */
export async function loadIdentity(options: {
  readonly host: HostName;
  readonly formerHost?: HostName | undefined;
  readonly root: string | undefined;
  readonly paths: StatePaths;
  readonly system: string;
}): Promise<Identity> {
  const { host, formerHost, root, paths, system } = options;
  const [machineId, bootId, signer] = await Promise.all([readMachineId(root), readBootId(), loadOrCreateSigner(paths.key, host)]);
  return { host, formerHost, machineId, bootId, system, signer };
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
