import { randomUUID } from 'node:crypto';
import { closeSync, constants, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, statSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * The name of the subgroup in which a service runs whose own group is delegated to it (systemd: DelegateSubgroup=). Only beside
 * it may the service create groups with limits.
 */
const SERVICE_GROUP = 'floe-main';
const PREFIX = 'floe-exec-';
/** An empty group that is older than this gets no more processes. */
const ABANDONED_MS = 60_000;

/** Limits of all processes of a program together. */
export interface TreeLimits {
  readonly maxMemoryBytes: number;
  readonly maxProcesses: number;
}

/**
 * A control group (version 2) for the processes of one program: none can leave it, and all can be killed together. Where this
 * process may use the controllers, the kernel limits their memory and number.
 */
export class ControlGroup {
  readonly #folder: string;
  /** True when the kernel enforces the limits. */
  readonly holdsLimits: boolean;

  private constructor(folder: string, holdsLimits: boolean) {
    this.#folder = folder;
    this.holdsLimits = holdsLimits;
  }

  /** Undefined where this process may create none. */
  static create(limits: TreeLimits | undefined): ControlGroup | undefined {
    const parent = groupOfOurs();
    if (parent === undefined) return undefined;
    removeAbandoned(parent);
    const folder = join(parent, `${PREFIX}${randomUUID()}`);
    try {
      mkdirSync(folder);
    } catch {
      return undefined;
    }
    // Without cgroup.kill (Linux 5.14) it has no advantage over the process group.
    if (!existsSync(join(folder, 'cgroup.kill'))) {
      remove(folder);
      return undefined;
    }
    const holdsLimits =
      limits !== undefined &&
      write(join(folder, 'memory.max'), String(limits.maxMemoryBytes)) &&
      write(join(folder, 'pids.max'), String(limits.maxProcesses));
    if (holdsLimits) {
      write(join(folder, 'memory.swap.max'), '0');
      write(join(folder, 'memory.oom.group'), '1');
    }
    return new ControlGroup(folder, holdsLimits);
  }

  /** A process that writes "0" to this file moves into the group; everything that it forks afterwards starts there. */
  get entrance(): string {
    return join(this.#folder, 'cgroup.procs');
  }

  members(): number[] {
    return groupsBelow(this.#folder).flatMap((folder) =>
      read(join(folder, 'cgroup.procs'))
        .split('\n')
        .filter((line) => line !== '' && line !== '0')
        .map(Number),
    );
  }

  kill(): void {
    write(join(this.#folder, 'cgroup.kill'), '1');
  }

  /** Whether the kernel killed a process of the group because of the group's memory. */
  wasOutOfMemory(): boolean {
    return /^oom_kill [1-9]/m.test(read(join(this.#folder, 'memory.events')));
  }

  /** Bytes that its processes use, with what the kernel keeps of their files; the most so far is `peak`. Undefined: the kernel does not count. */
  memory(of: 'current' | 'peak'): number | undefined {
    const bytes = read(join(this.#folder, `memory.${of}`)).trim();
    return bytes === '' ? undefined : Number(bytes);
  }

  /** Removes the group if no process is left in it. */
  tryRemove(): boolean {
    // From the innermost to the outermost.
    return groupsBelow(this.#folder).toReversed().map(remove).at(-1) ?? true;
  }
}

/** The folder in which this process may create groups; undefined: nowhere. */
function groupOfOurs(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const path = /^0::(\/.*)$/m.exec(read('/proc/self/cgroup'))?.[1];
  // mountinfo: id, parent, device, root, mount point, options, optional fields, "-", type.
  const mountPoint = /^\d+ \d+ \S+ \/ (\S+) .* - cgroup2 /m.exec(read('/proc/self/mountinfo'))?.[1];
  if (path === undefined || mountPoint === undefined || path.startsWith('/..')) return undefined;
  const own = join(mountPoint, path);
  const isDelegated = basename(path) === SERVICE_GROUP;
  const parent = isDelegated ? dirname(own) : own;
  // At the root, and in a delegated group, no other program manages the controllers.
  if (isDelegated || path === '/') {
    const enabled = read(join(parent, 'cgroup.subtree_control'));
    for (const each of ['memory', 'pids']) if (!enabled.split(/\s/).includes(each)) write(join(parent, 'cgroup.subtree_control'), `+${each}`);
  }
  return parent;
}

/** Removes empty groups whose processes had outlived their program. */
function removeAbandoned(parent: string): void {
  const before = Date.now() - ABANDONED_MS;
  for (const name of list(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const folder = join(parent, name);
    if ((statSync(folder, { throwIfNoEntry: false })?.ctimeMs ?? before) < before) remove(folder);
  }
}

/** The group itself, then its subgroups. */
function groupsBelow(folder: string): string[] {
  return [folder, ...list(folder).flatMap((name) => groupsBelow(join(folder, name)))];
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? entry.name : []));
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function write(file: string, text: string): boolean {
  let fd: number | undefined;
  try {
    // An unreadable group counts as having none.
    fd = openSync(file, constants.O_WRONLY);
    writeSync(fd, text);
    return true;
  } catch {
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function remove(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
