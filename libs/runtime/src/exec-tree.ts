import { setTimeout } from 'node:timers/promises';
import type { ControlGroup, TreeLimits } from './exec-cgroup.ts';
import { DescendantTree, memoryOf, signalProcess } from './exec-processes.ts';

const LOOK_MS = 10;

/** All processes that a program starts, however they try to leave it. */
export class ProcessTree {
  readonly #root: number;
  readonly #group: ControlGroup | undefined;
  readonly #descendants: DescendantTree;
  readonly #limits: TreeLimits | undefined;

  /** `root` was started a moment ago, as the leader of a session. */
  constructor(root: number, options: { group: ControlGroup | undefined; marker: string | undefined; limits: TreeLimits | undefined }) {
    this.#root = root;
    this.#group = options.group;
    this.#descendants = new DescendantTree(root, options.marker);
    this.#limits = options.limits;
  }

  /** How often it must be looked at: all the time, when its limits are ours to hold; now and then, to know its members. */
  get watch(): 'closely' | 'loosely' | 'not' {
    if (this.#limits !== undefined && this.#group?.holdsLimits !== true) return 'closely';
    return this.#group === undefined ? 'loosely' : 'not';
  }

  /** What the tree has too much of. Also takes note of its members. */
  look(): 'memory' | 'processes' | undefined {
    // Empty: it may not enter its group, or has not yet.
    const inGroup = this.#group?.members() ?? [];
    const members = inGroup.length > 0 ? inGroup : this.#descendants.members();
    if (this.#limits === undefined) return undefined;
    if (members.length > this.#limits.maxProcesses) return 'processes';
    return memoryOf(members) > this.#limits.maxMemoryBytes ? 'memory' : undefined;
  }

  /** True when the kernel ended a process because the tree had more memory than it may. */
  wasOutOfMemory(): boolean {
    return this.#group?.wasOutOfMemory() ?? false;
  }

  /** Asks all to end. For as long as the program itself was not waited for, its process group is surely ours. */
  terminate(): void {
    signalProcess(-this.#root, 'SIGTERM');
    const members = new Set([...(this.#group?.members() ?? []), ...this.#descendants.members()]);
    // A member of the process group gets it once.
    for (const pid of members) if (pid > 0 && !this.#descendants.isInGroup(pid)) signalProcess(pid, 'SIGTERM');
  }

  kill(): void {
    this.#group?.kill();
    // Also those that were moved out of the group, e.g. by PAM into a session of logind.
    this.#descendants.kill();
  }

  /**
   * Whether processes are left once the program itself has ended. Where a control group holds them, only a suspicion is worth
   * a look into /proc.
   */
  hasMembers({ isSuspected }: { readonly isSuspected: boolean }): boolean {
    if (this.#group?.tryRemove() === false) return true;
    return (isSuspected || this.#group === undefined) && this.#descendants.members().length > 0;
  }

  /** Kills what is left, and waits until it is gone. What is stuck in the kernel is left after `withinMs`. */
  async clear(withinMs: number, how: { readonly isSuspected: boolean }): Promise<void> {
    if (!this.hasMembers(how)) return;
    const until = performance.now() + withinMs;
    do {
      this.kill();
      await setTimeout(LOOK_MS);
    } while (this.hasMembers({ isSuspected: true }) && performance.now() < until);
  }
}
