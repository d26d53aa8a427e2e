import { readdirSync, readFileSync } from 'node:fs';

/** A line of the kernel's process table. */
interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** In ticks since the machine's start; together with the pid it identifies a process uniquely. */
  readonly startedAt: string;
  readonly isEnded: boolean;
}

/** How often a tree is read again to find processes that were forked while it was being killed. */
const KILL_ROUNDS = 20;

/**
 * The descendants of a process: found in /proc by parent, process group, session and an environment variable that children
 * inherit, and remembered once seen. A process that forks twice, starts a session and clears its environment between two looks is
 * lost: only a control group can hold it. Without /proc only the process group is used.
 */
export class DescendantTree {
  readonly #root: number;
  readonly #rootStartedAt: string | undefined;
  readonly #marker: string | undefined;
  readonly #seen = new Map<number, string>();

  /** Must be called in the same turn of the event loop as the start: until then the process exists, at least as a zombie. */
  constructor(root: number, marker: string | undefined) {
    this.#root = root;
    this.#marker = marker;
    this.#rootStartedAt = readRow(root)?.startedAt;
  }

  /** The members that run now, without zombies. */
  members(): number[] {
    const rows = new Map(allRows().map((row) => [row.pid, row]));
    // Without /proc the process group must do; the kernel names it by a negative number.
    if (rows.size === 0) return groupExists(this.#root) ? [-this.#root] : [];
    const root = rows.get(this.#root);
    // A reused pid is another process, whose group and session do not belong to the tree.
    const isReused = root !== undefined && root.startedAt !== this.#rootStartedAt;
    const members = new Set<number>();
    for (const row of rows.values()) {
      if (row.pid === process.pid) continue;
      const isOurs =
        this.#seen.get(row.pid) === row.startedAt ||
        (!isReused && (row.pid === this.#root || row.group === this.#root || row.session === this.#root)) ||
        this.#isMarked(row);
      if (isOurs) members.add(row.pid);
    }
    const children = new Map<number, number[]>();
    for (const { pid, parent } of rows.values()) children.set(parent, [...(children.get(parent) ?? []), pid]);
    // Iterating a set also visits elements that are added during the loop.
    for (const pid of members) for (const child of children.get(pid) ?? []) members.add(child);
    this.#seen.clear();
    const running: number[] = [];
    for (const pid of members) {
      const row = rows.get(pid);
      if (row === undefined || row.isEnded) continue;
      this.#seen.set(pid, row.startedAt);
      running.push(pid);
    }
    return running;
  }

  /** Whether a process is in the process group of the root. */
  isInGroup(pid: number): boolean {
    return readRow(pid)?.group === this.#root;
  }

  /** Sends SIGKILL to all members, and to those that they fork meanwhile. */
  kill(): void {
    for (let round = 0; round < KILL_ROUNDS; round++) {
      const members = this.members();
      if (members.length === 0) return;
      for (const pid of members) signalProcess(pid, 'SIGKILL');
    }
  }

  #isMarked({ pid, startedAt, isEnded }: ProcessRow): boolean {
    if (this.#marker === undefined || isEnded || Number(startedAt) < Number(this.#rootStartedAt)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`).includes(this.#marker);
    } catch {
      return false;
    }
  }
}

/** Sends a signal to a process, or with a negative number to a group, that may no longer exist or may belong to another user. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It no longer exists, or belongs to another user.
  }
}

/** Whether a process group has members, including zombies. */
function groupExists(pid: number): boolean {
  try {
    process.kill(-pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Memory that only these processes use, in bytes: private and shared memory, without mapped files. */
export function memoryOf(pids: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of pids) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      for (const [, amount] of status.matchAll(/^Rss(?:Anon|Shmem):\s+(\d+) kB$/gm)) kilobytes += Number(amount);
    } catch {
      // It ended meanwhile.
    }
  }
  return kilobytes * 1024;
}

function allRows(): ProcessRow[] {
  let names: string[] = [];
  try {
    names = readdirSync('/proc');
  } catch {
    // Not Linux.
  }
  return names.flatMap((name) => (/^\d+$/.test(name) ? (readRow(Number(name)) ?? []) : []));
}

function readRow(pid: number): ProcessRow | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name, in parentheses, may contain anything; proc(5) numbers the fields from 1, and 3 follows the name.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, parent, group, session] = fields;
    const startedAt = fields[19] ?? '';
    return {
      pid,
      parent: Number(parent),
      group: Number(group),
      session: Number(session),
      startedAt,
      isEnded: state === 'Z' || state === 'X',
    };
  } catch {
    return undefined;
  }
}
