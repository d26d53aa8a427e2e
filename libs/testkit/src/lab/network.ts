import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';

const PROJECT = join(import.meta.dirname, '../../../..');
/** `desktop`: trixie with a desktop. */
export const LAB_SUITES = ['bookworm', 'trixie', 'desktop'] as const;
export type LabSuite = (typeof LAB_SUITES)[number];

/** The root file system that the guests of a suite share, built by scripts/lab-rootfs.sh and lab-desktop.sh. */
export function labRootfs(suite: LabSuite): string {
  return join(PROJECT, '.tools/lab', suite);
}

/** Why guests cannot be started on this machine; undefined: they can (as root, with nspawn and their root file system). */
export async function isLabReady(suite: LabSuite = 'bookworm'): Promise<{ readonly isReady: boolean; readonly why: string }> {
  if (process.getuid?.() !== 0) return { isReady: false, why: 'guests need root' };
  const has = async (path: string): Promise<boolean> =>
    await access(path).then(
      () => true,
      () => false,
    );
  if (!(await has('/usr/bin/systemd-nspawn'))) return { isReady: false, why: 'systemd-nspawn is not installed' };
  if (!(await has(join(labRootfs(suite), '.floe-stamp'))))
    return { isReady: false, why: `there is no root file system of ${suite}: scripts/lab-${suite === 'desktop' ? 'desktop' : 'rootfs'}.sh makes it` };
  return { isReady: true, why: '' };
}

const INSTANCES = '/proc/sys/fs/inotify/max_user_instances';

/** A bridge of this machine for the guests and the server under test only. */
export class LabNetwork implements AsyncDisposable {
  readonly bridge: string;
  readonly #prefix: string;

  private constructor(bridge: string, prefix: string) {
    this.bridge = bridge;
    this.#prefix = prefix;
  }

  /** `number` distinguishes the networks of one machine: 0 to 99. */
  static async create(number: number): Promise<LabNetwork> {
    const network = new LabNetwork(`floe-lab${number}`, `10.77.${100 + number}`);
    await execInTest('ip', ['link', 'delete', network.bridge]);
    for (const args of [
      ['link', 'add', network.bridge, 'type', 'bridge'],
      ['address', 'add', `${network.address}/24`, 'dev', network.bridge],
      ['link', 'set', network.bridge, 'up'],
    ]) {
      const result = await execInTest('ip', args);
      if (result.exitCode !== 0) throw new Error(`ip ${args.join(' ')}: ${result.stderr}`);
    }
    // The default suffices for about 25 systemds; more of them hang without an error.
    if (Number(await readFile(INSTANCES, 'utf8')) < 1024) await writeFile(INSTANCES, '1024');
    return network;
  }

  /** The address of this machine's end. */
  get address(): string {
    return `${this.#prefix}.1`;
  }

  guestAddress(index: number): string {
    return `${this.#prefix}.${10 + index}/24`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await execInTest('ip', ['link', 'delete', this.bridge]);
  }
}
