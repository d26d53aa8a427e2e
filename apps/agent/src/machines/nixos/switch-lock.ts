import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import type { Clock, Exec, Logger } from '@floe/runtime';
import { SWITCH_LOCK } from './scripts.ts';

/** Time between SIGTERM and SIGKILL, in ms. */
const GRACE_MS = 10_000;
const POLL_MS = 100;

export interface SwitchLockDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A switch that holds the lock for longer, in ms, is stuck, and ended. */
  readonly limitMs: number;
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
  /** Default: that of NixOS. */
  readonly file?: string;
}

interface Holder {
  readonly pid: number;
  /** Of systemd; undefined when it is in none. */
  readonly unit: string | undefined;
  /** False for a process in a user's session, which goes on. */
  readonly isService: boolean;
}

/** The lock of all switches of the machine, also of those that users and other programs begin. */
export class SwitchLock {
  readonly #deps: SwitchLockDeps;
  readonly #file: string;
  #seen: { readonly pid: number; readonly since: number } | undefined;

  constructor(deps: SwitchLockDeps) {
    this.#deps = deps;
    this.#file = deps.file ?? SWITCH_LOCK;
  }

  /**
   * Who holds it: the unit and the process; null: nobody. A process that holds it for longer than a switch may take is ended:
   * otherwise a stuck switch would block all later ones.
   */
  async heldBy(): Promise<string | null> {
    const pid = await this.#holder();
    if (pid === undefined) {
      this.#seen = undefined;
      return null;
    }
    const { clock, limitMs } = this.#deps;
    if (this.#seen?.pid !== pid) this.#seen = { pid, since: clock.monotonic() };
    const holder = await describe(pid);
    const name = nameOf(holder);
    if (clock.monotonic() - this.#seen.since < limitMs) return name;
    return (await this.#end(holder)) ? null : name;
  }

  async #end(holder: Holder): Promise<boolean> {
    const { clock, logger, limitMs } = this.#deps;
    const heldBy = nameOf(holder);
    logger.warn('another switch is stuck, and is ended', { heldBy, limitMs });
    for (const signal of ['TERM', 'KILL'] as const) {
      await this.#send(signal, holder);
      const deadline = clock.monotonic() + GRACE_MS;
      while (clock.monotonic() < deadline) {
        if ((await this.#holder()) !== holder.pid) return true;
        await clock.sleep(POLL_MS);
      }
    }
    logger.error('a switch that is stuck could not be ended', { heldBy });
    return false;
  }

  /**
   * Signals the whole service when it exists for the switch alone (its processes may share the lock), else only the process:
   * the service may be a VPN or a scheduler through which somebody started the switch.
   */
  async #send(signal: 'TERM' | 'KILL', { pid, unit, isService }: Holder): Promise<void> {
    const { exec, env } = this.#deps;
    const options = { env, timeoutMs: 30_000 };
    if (isService && unit !== undefined) {
      const shown = await exec('systemctl', ['show', unit, '--property=Type', '--property=Transient'], options);
      if (/^(?:Type=oneshot|Transient=yes)$/m.test(shown.stdout)) {
        await exec('systemctl', ['kill', `--signal=SIG${signal}`, unit], options);
        return;
      }
    }
    // kill 0 would signal this agent's own process group.
    if (pid > 0) await exec('kill', [`-${signal}`, String(pid)], options);
  }

  async #holder(): Promise<number | undefined> {
    const lock = await stat(this.#file, { bigint: true }).catch(() => undefined);
    if (lock === undefined) return undefined;
    const pid = holderOf(await readFile('/proc/locks', 'utf8').catch(() => ''), lock);
    if (pid === undefined || (await this.#isOpenIn(pid))) return pid;
    // The process that took the lock has ended; processes that inherited the open file hold it.
    for (const each of await readdir('/proc')) if (/^\d+$/.test(each) && (await this.#isOpenIn(Number(each)))) return Number(each);
    return pid;
  }

  async #isOpenIn(pid: number): Promise<boolean> {
    const folder = `/proc/${pid}/fd`;
    for (const fd of await readdir(folder).catch(() => [])) {
      if ((await readlink(`${folder}/${fd}`).catch(() => '')) === this.#file) return true;
    }
    return false;
  }
}

async function describe(pid: number): Promise<Holder> {
  const cgroup = (await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')).trim();
  const unit = cgroup.split('/').findLast((part) => /\.(?:service|scope)$/.test(part));
  return { pid, unit, isService: unit?.endsWith('.service') === true && cgroup.includes(':/system.slice/') };
}

function nameOf({ pid, unit }: Holder): string {
  if (pid === 0) return 'a process that cannot be found';
  return unit === undefined ? `process ${pid}` : `${unit} (process ${pid})`;
}

/** The process that locked a file, in the text of /proc/locks; 0: one that has ended, or is not of this container. */
export function holderOf(locks: string, { dev, ino }: { readonly dev: bigint; readonly ino: bigint }): number | undefined {
  // As the C library takes a device's number apart, and the kernel prints it.
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  const name = `${hex(major)}:${hex(minor)}:${ino}`;
  for (const line of locks.split('\n')) {
    const [, kind, , , pid, file] = line.trim().split(/\s+/);
    // A waiter's line has an arrow in the place of the kind.
    if (kind !== '->' && file === name) return Number(pid);
  }
  return undefined;
}

function hex(value: bigint): string {
  return value.toString(16).padStart(2, '0');
}
