import type { HostName } from '@floe/model';

/** So many signs within so long make two machines of one host. */
const SIGNS = 3;
const WINDOW_MS = 60 * 60_000;
/** Boot ids that are remembered of one host. */
const REMEMBERED_BOOTS = 8;

interface Trace {
  /** In the order in which they were first seen; the last is the present one. */
  readonly boots: readonly string[];
  /** When a sign was seen, on a clock that does not jump. */
  readonly signs: readonly number[];
}

/**
 * Tells a whole disk that was copied, machine id and key and all, from one machine that comes back: a laptop that changes
 * networks, an agent that starts over, a machine that reboots. Two signs are of two machines only: the agent of a
 * connection that was replaced still answers, though the other one is connected; and a boot comes back after another one
 * took its place. (The second also happens once when a virtual machine is restored to a snapshot of its memory.)
 */
export class TwinWatch {
  readonly #traces = new Map<HostName, Trace>();

  /** A session began. */
  noteBoot(host: HostName, bootId: string, at: number): 'one-machine' | 'two-machines' {
    const { boots, signs } = this.#traces.get(host) ?? { boots: [], signs: [] };
    if (boots.at(-1) === bootId) return 'one-machine';
    const isBack = boots.includes(bootId);
    const next = [...boots.filter((each) => each !== bootId), bootId].slice(-REMEMBERED_BOOTS);
    this.#traces.set(host, { boots: next, signs });
    return isBack ? this.#sign(host, at) : 'one-machine';
  }

  /** The agent of a replaced connection answered after its successor was welcome. */
  noteBothAnswer(host: HostName, at: number): 'one-machine' | 'two-machines' {
    return this.#sign(host, at);
  }

  /** An administrator decided, or the host is shut out: what was seen counts no more. */
  forget(host: HostName): void {
    this.#traces.delete(host);
  }

  #sign(host: HostName, at: number): 'one-machine' | 'two-machines' {
    const { boots, signs } = this.#traces.get(host) ?? { boots: [], signs: [] };
    const recent = [...signs.filter((each) => at - each < WINDOW_MS), at].slice(-SIGNS);
    this.#traces.set(host, { boots, signs: recent });
    return recent.length >= SIGNS ? 'two-machines' : 'one-machine';
  }
}
