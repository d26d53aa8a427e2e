import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { describeError, type Clock, type Exec, type Logger } from '@floe/runtime';
import { CLOSED, closeLockScript, LEFT_OPEN, SWITCH_LOCK } from './close-lock.ts';
import { SYSTEMD_ANSWERS_MS } from './switch-unit.ts';

/** Time between SIGTERM and SIGKILL, in ms. */
const GRACE_MS = 10_000;
const POLL_MS = 100;
const CLOSE_SECONDS = 60;

export interface SwitchLockDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A switch that holds the lock for longer, in ms, is stuck, and ended; so are those that together hold it for twice as long. */
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
  /** Who started it, also if it is setuid; undefined: it cannot be found. */
  readonly uid: number | undefined;
}

interface FileId {
  readonly dev: bigint;
  readonly ino: bigint;
}

/** What the looks saw: who holds it and since when, and since when it was never free. In ms of the monotonic clock. */
interface Held {
  readonly pid: number;
  readonly since: number;
  readonly neverFreeSince: number;
  readonly lookedAt: number;
}

/** The lock of all switches of the machine, also of those that users and other programs begin. */
export class SwitchLock {
  readonly #deps: SwitchLockDeps;
  readonly #file: string;
  #held: Held | undefined;

  constructor(deps: SwitchLockDeps) {
    this.#deps = deps;
    this.#file = deps.file ?? SWITCH_LOCK;
  }

  /**
   * Who holds it: the unit, the process, and the user who is not root; null: nobody. A process that holds it for longer than a switch may
   * take is ended: otherwise a stuck switch would block all later ones. Each of many may hold it for less, but all of them for no longer
   * than two switches.
   */
  async heldBy(): Promise<string | null> {
    await this.close();
    const pid = await this.#holder();
    if (pid === undefined) {
      this.#held = undefined;
      return null;
    }
    const { clock, limitMs } = this.#deps;
    const now = clock.monotonic();
    const before = this.#held;
    const wasLookedAt = before !== undefined && now - before.lookedAt <= limitMs;
    const since = before?.pid === pid ? before.since : now;
    const neverFreeSince = wasLookedAt ? before.neverFreeSince : since;
    this.#held = { pid, since, neverFreeSince, lookedAt: now };
    const holder = await this.#describe(pid);
    if (now - since < limitMs && now - neverFreeSince < 2 * limitMs) return await this.#nameOf(holder);
    if (!(await this.#end(holder))) return await this.#nameOf(holder);
    await this.close({ anyway: true });
    // Somebody may have waited for it.
    const next = await this.#holder();
    return next === undefined ? null : await this.#nameOf(await this.#describe(next));
  }

  /**
   * From here on only root can open the lock, and what others hold by a file that they opened before counts for nothing; see
   * {@link closeLockScript}. To be called before each switch: switches of NixOS make a file that all can read. Never throws.
   */
  async close({ anyway = false } = {}): Promise<void> {
    const mode = await this.#mode();
    if (mode === CLOSED) return;
    const { exec, env, logger } = this.#deps;
    // Whoever took it: to look for who has it open would take long where users have very many files open.
    const pid = await this.#taker();
    const holder = pid === undefined ? undefined : await this.#describe(pid);
    const isOthers = holder !== undefined && holder.uid !== process.getuid?.();
    // Nobody else can open it, and it is replaced when root's switch has ended.
    if (mode === LEFT_OPEN && holder !== undefined && !isOthers && !anyway) return;
    // In a unit of its own: the agent's unit may not write there.
    const unit = ['--quiet', '--collect', '--wait', '--pipe', '--no-ask-password', `--property=RuntimeMaxSec=${CLOSE_SECONDS}`];
    const command = [`--setenv=PATH=${env['PATH'] ?? ''}`, '--', '/bin/sh', '-s'];
    const stdin = `${closeLockScript(this.#file)}close_lock${anyway ? ' anyway' : ''}\n`;
    const said = await exec('systemd-run', [...unit, ...command], { env, stdin, timeoutMs: 1000 * CLOSE_SECONDS + SYSTEMD_ANSWERS_MS }).then(
      ({ stderr }) => stderr.trim().slice(-300),
      describeError,
    );
    const isClosed = (await this.#mode()) === CLOSED;
    if (isClosed && isOthers) logger.warn('users held the lock of switches, and do no longer', { heldBy: await this.#nameOf(holder) });
    if (!isClosed && (holder === undefined || isOthers)) logger.warn('the lock of switches is still open to users', { said });
  }

  async #mode(): Promise<number | undefined> {
    const found = await stat(this.#file).catch(() => undefined);
    return found === undefined ? undefined : found.mode & 0o777;
  }

  async #end(holder: Holder): Promise<boolean> {
    const { clock, logger, limitMs } = this.#deps;
    const heldBy = await this.#nameOf(holder);
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

  /** Who took the lock that is held. */
  async #taker(): Promise<number | undefined> {
    const lock = await this.#id();
    return lock === undefined ? undefined : holderOf(await readFile('/proc/locks', 'utf8').catch(() => ''), lock);
  }

  async #holder(): Promise<number | undefined> {
    const [pid, lock] = [await this.#taker(), await this.#id()];
    if (pid === undefined || lock === undefined || (await this.#isOpenIn(pid, lock))) return pid;
    // The process that took the lock has ended; processes that inherited the open file hold it.
    for (const each of await readdir('/proc')) if (/^\d+$/.test(each) && (await this.#isOpenIn(Number(each), lock))) return Number(each);
    return pid;
  }

  async #id(): Promise<FileId | undefined> {
    return await stat(this.#file, { bigint: true }).catch(() => undefined);
  }

  async #isOpenIn(pid: number, { dev, ino }: FileId): Promise<boolean> {
    const folder = `/proc/${pid}/fd`;
    for (const fd of await readdir(folder).catch(() => [])) {
      if ((await readlink(`${folder}/${fd}`).catch(() => '')) !== this.#file) continue;
      // Of the same name in a container, it is another file.
      const found = await stat(`${folder}/${fd}`, { bigint: true }).catch(() => undefined);
      if (found?.ino === ino && found.dev === dev) return true;
    }
    return false;
  }

  async #describe(pid: number): Promise<Holder> {
    const read = async (file: string): Promise<string> => await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
    const [cgroup, status] = await Promise.all([read('cgroup'), read('status')]);
    const unit = cgroup
      .trim()
      .split('/')
      .findLast((part) => /\.(?:service|scope)$/.test(part));
    const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1];
    return {
      pid,
      unit,
      isService: unit?.endsWith('.service') === true && cgroup.includes(':/system.slice/'),
      uid: uid === undefined ? undefined : Number(uid),
    };
  }

  async #nameOf({ pid, unit, uid }: Holder): Promise<string> {
    if (pid === 0) return 'a process that cannot be found';
    const { exec, env } = this.#deps;
    const isUsers = uid !== undefined && uid !== 0;
    const known = isUsers ? await exec('id', ['-nu', String(uid)], { env, timeoutMs: 30_000 }).catch(() => undefined) : undefined;
    const user = known?.exitCode === 0 ? known.stdout.trim() : String(uid);
    const name = isUsers ? `process ${pid} of user ${user}` : `process ${pid}`;
    return unit === undefined ? name : `${unit} (${name})`;
  }
}

/** The process that locked a file, in the text of /proc/locks; 0: one that has ended, or is not of this container. */
export function holderOf(locks: string, { dev, ino }: FileId): number | undefined {
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
