import { randomUUID } from 'node:crypto';
import { closeSync, constants, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, statSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * The name of the group in which a service runs whose own group is delegated to it (systemd: DelegateSubgroup=): beside it,
 * and only there, the service may make groups with limits.
 */
const SERVICE_GROUP = 'floe-main';
const PREFIX = 'floe-exec-';
/** An empty group that is older than this has no process to come. */
const ABANDONED_MS = 60_000;

/** What all processes of a program may have together. */
export interface TreeLimits {
  readonly maxMemoryBytes: number;
  readonly maxProcesses: number;
}

/**
 * A control group (version 2) for the processes of one program: none of them can leave it, and all can be killed at once.
 * Where its controllers are ours to use, the kernel limits their memory and their number.
 */
export class ControlGroup {
  readonly #folder: string;
  /** The kernel holds the limits. */
  readonly holdsLimits: boolean;

  private constructor(folder: string, holdsLimits: boolean) {
    this.#folder = folder;
    this.holdsLimits = holdsLimits;
  }

  /** Undefined where this process may make none. */
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
    // Without cgroup.kill (Linux 5.14) it holds nothing that the process group does not.
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

  /** A process that writes "0" to it moves there, and what it forks from then on is there from its start. */
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

  /** Whether the kernel ended a process of the group because of the group's memory. */
  wasOutOfMemory(): boolean {
    return /^oom_kill [1-9]/m.test(read(join(this.#folder, 'memory.events')));
  }

  /** Removes the group if no process is left in it. */
  tryRemove(): boolean {
    // From the innermost to the outermost.
    return groupsBelow(this.#folder).toReversed().map(remove).at(-1) ?? true;
  }
}

/** The folder in which this process may make groups; undefined: nowhere. */
function groupOfOurs(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const path = /^0::(\/.*)$/m.exec(read('/proc/self/cgroup'))?.[1];
  // mountinfo: id, parent, device, root, mount point, options, optional fields, "-", type.
  const mountPoint = /^\d+ \d+ \S+ \/ (\S+) .* - cgroup2 /m.exec(read('/proc/self/mountinfo'))?.[1];
  if (path === undefined || mountPoint === undefined || path.startsWith('/..')) return undefined;
  const own = join(mountPoint, path);
  const isDelegated = basename(path) === SERVICE_GROUP;
  const parent = isDelegated ? dirname(own) : own;
  // At the root and in a group that was delegated, nobody else decides about controllers.
  if (isDelegated || path === '/') {
    const enabled = read(join(parent, 'cgroup.subtree_control'));
    for (const each of ['memory', 'pids']) if (!enabled.split(/\s/).includes(each)) write(join(parent, 'cgroup.subtree_control'), `+${each}`);
  }
  return parent;
}

/** Groups of processes that outlived their program go when they are empty. */
function removeAbandoned(parent: string): void {
  const before = Date.now() - ABANDONED_MS;
  for (const name of list(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const folder = join(parent, name);
    if ((statSync(folder, { throwIfNoEntry: false })?.ctimeMs ?? before) < before) remove(folder);
  }
}

/** The group itself, then those that were made in it. */
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
    // Some may not be read, and none is made.
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
