import { setTimeout } from 'node:timers/promises';
import type { ControlGroup, TreeLimits } from './exec-cgroup.ts';
import { DescendantTree, memoryOf, signalProcess } from './exec-processes.ts';

const LOOK_MS = 10;

/** All processes that a program starts, however they try to escape. */
export class ProcessTree {
  readonly #root: number;
  readonly #group: ControlGroup | undefined;
  readonly #descendants: DescendantTree;
  readonly #limits: TreeLimits | undefined;
  #peak = 0;

  /** `root` was just started, as the leader of a session. */
  constructor(root: number, options: { group: ControlGroup | undefined; marker: string | undefined; limits: TreeLimits | undefined }) {
    this.#root = root;
    this.#group = options.group;
    this.#descendants = new DescendantTree(root, options.marker);
    this.#limits = options.limits;
  }

  /** How often the tree must be read: constantly where the limits are enforced here; rarely where it only records the members. */
  get watch(): 'closely' | 'loosely' | 'not' {
    if (this.#limits !== undefined && this.#group?.holdsLimits !== true) return 'closely';
    return this.#group === undefined ? 'loosely' : 'not';
  }

  /** Which limit the tree exceeds. Also records its members. */
  look(): 'memory' | 'processes' | undefined {
    const members = this.#members();
    if (this.#limits === undefined) return undefined;
    if (members.length > this.#limits.maxProcesses) return 'processes';
    return this.#note(memoryOf(members)) > this.#limits.maxMemoryBytes ? 'memory' : undefined;
  }

  /** Bytes that the tree uses now. */
  memoryBytes(): number {
    const counted = this.#group?.memory('current') ?? 0;
    return this.#note(counted > 0 ? counted : memoryOf(this.#members()));
  }

  /** The most bytes that the tree was seen to use; exact where the kernel keeps it (Linux 5.19). Undefined: nobody looked. */
  peakBytes(): number | undefined {
    const bytes = Math.max(this.#peak, this.#group?.memory('peak') ?? 0);
    return bytes === 0 ? undefined : bytes;
  }

  #note(bytes: number): number {
    this.#peak = Math.max(this.#peak, bytes);
    return bytes;
  }

  #members(): number[] {
    // Empty: the process could not enter its group, or has not yet.
    const inGroup = this.#group?.members() ?? [];
    return inGroup.length > 0 ? inGroup : this.#descendants.members();
  }

  /** True when the kernel killed a process because the tree exceeded its memory limit. */
  wasOutOfMemory(): boolean {
    return this.#group?.wasOutOfMemory() ?? false;
  }

  /** Asks all to end. Until the program itself was waited for, its process group cannot be reused. */
  terminate(): void {
    signalProcess(-this.#root, 'SIGTERM');
    const members = new Set([...(this.#group?.members() ?? []), ...this.#descendants.members()]);
    // Each member of the process group is signalled once.
    for (const pid of members) if (pid > 0 && !this.#descendants.isInGroup(pid)) signalProcess(pid, 'SIGTERM');
  }

  kill(): void {
    this.#group?.kill();
    // Also those that were moved out of the group, e.g. by PAM into a session of logind.
    this.#descendants.kill();
  }

  /** Whether processes are left after the program itself has ended. With a control group, /proc is read only on suspicion. */
  hasMembers({ isSuspected }: { readonly isSuspected: boolean }): boolean {
    if (this.#group?.tryRemove() === false) return true;
    return (isSuspected || this.#group === undefined) && this.#descendants.members().length > 0;
  }

  /** Kills the rest and waits until it has ended. Processes that are stuck in the kernel are abandoned after `withinMs`. */
  async clear(withinMs: number, how: { readonly isSuspected: boolean }): Promise<void> {
    if (!this.hasMembers(how)) return;
    const until = performance.now() + withinMs;
    do {
      this.kill();
      await setTimeout(LOOK_MS);
    } while (this.hasMembers({ isSuspected: true }) && performance.now() < until);
  }
}
