import { FloeError } from './errors.ts';

/** `crowded`: too many wait. `gave-up`: the caller's signal came first. */
type Refusal = 'crowded' | 'gave-up';
type Waiter = (outcome: 'admitted' | Refusal) => void;

interface Queue {
  /** Waiting callers by member; the member whose turn is next comes first. */
  readonly waiting: Map<string, Waiter[]>;
  taken: number;
  size: number;
}

/** A place in a gate, until it is disposed of. */
export type GatePlace = Disposable;

export interface FairGateLimits {
  /** How many are admitted at a time. */
  readonly places: number;
  /** Of one group. */
  readonly placesOfGroup: number;
  /** How many may wait. */
  readonly waiting: number;
  /** Of one group. */
  readonly waitingOfGroup: number;
}

/**
 * A gate that serves groups of callers (e.g. by address) in turn, and within a group its members, so that a client with a
 * thousand requests gets one turn like any other. No group may hold more than its share of the places, so that one group's slow
 * work leaves room for others. When too many wait, the newest of those who have the most is refused: whoever has nothing waiting is not refused
 * because of others, unless these are as many groups as may wait.
 */
export class FairGate {
  readonly #limits: FairGateLimits;
  /** Groups that hold places or wait; the one whose turn is next comes first. */
  readonly #groups = new Map<string, Queue>();
  #taken = 0;
  #waiting = 0;

  constructor(limits: FairGateLimits) {
    this.#limits = limits;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** How many of them are of a group. @uncalled Tests look at what is fair. */
  waitingOf(group: string): number {
    return this.#groups.get(group)?.size ?? 0;
  }

  /** How many places are held. */
  get taken(): number {
    return this.#taken;
  }

  /** How many of them a group holds. */
  takenOf(group: string): number {
    return this.#groups.get(group)?.taken ?? 0;
  }

  /** Waits for a place, until `signal` aborts. */
  async enter(group: string, member: string, signal?: AbortSignal): Promise<GatePlace | Refusal> {
    if (signal?.aborted === true) return 'gave-up';
    const queue = this.#groups.get(group) ?? { waiting: new Map<string, Waiter[]>(), taken: 0, size: 0 };
    const isFree = this.#taken < this.#limits.places && queue.taken < this.#limits.placesOfGroup;
    if (!isFree && !this.#makeRoom(queue, member)) return 'crowded';
    this.#groups.set(group, queue);
    const outcome = await this.#wait(queue, member, signal);
    if (outcome !== 'admitted') {
      this.#forgetIdle(group, queue);
      return outcome;
    }
    return {
      [Symbol.dispose]: () => {
        this.#taken -= 1;
        queue.taken -= 1;
        this.#forgetIdle(group, queue);
        this.#letIn();
      },
    };
  }

  /** Does `work` in a place. Throws `FloeError('CROWDED')` when too many wait. */
  async pass<T>(group: string, member: string, work: () => Promise<T>): Promise<T> {
    const place = await this.enter(group, member);
    if (typeof place === 'string') throw new FloeError('CROWDED', 'too many wait for their turn', { retryable: true });
    using _place = place;
    return await work();
  }

  async #wait(queue: Queue, member: string, signal: AbortSignal | undefined): Promise<'admitted' | Refusal> {
    const { promise, resolve } = Promise.withResolvers<'admitted' | Refusal>();
    const giveUp = (): void => this.#refuse(queue, member, resolve, 'gave-up');
    const ahead = queue.waiting.get(member) ?? [];
    queue.waiting.set(member, ahead);
    ahead.push(resolve);
    queue.size += 1;
    this.#waiting += 1;
    signal?.addEventListener('abort', giveUp);
    this.#letIn();
    try {
      return await promise;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** False: nobody has more waiting than whoever comes, who is refused then. */
  #makeRoom(own: Queue, member: string): boolean {
    const { waiting, waitingOfGroup } = this.#limits;
    if (own.size >= waitingOfGroup) return this.#refuseNewest(own, (own.waiting.get(member)?.length ?? 0) + 1);
    if (this.#waiting < waiting) return true;
    let largest = own;
    for (const each of this.#groups.values()) if (each.size > largest.size) largest = each;
    return largest.size > own.size + 1 && this.#refuseNewest(largest, 0);
  }

  /** Refuses the newest of the member that has the most waiting, if it has more than so many. */
  #refuseNewest(queue: Queue, moreThan: number): boolean {
    const [first] = queue.waiting;
    if (first === undefined) return false;
    let [longest, waiters] = first;
    for (const [member, each] of queue.waiting) if (each.length > waiters.length) [longest, waiters] = [member, each];
    const newest = waiters.at(-1);
    if (newest === undefined || waiters.length <= moreThan) return false;
    this.#refuse(queue, longest, newest, 'crowded');
    return true;
  }

  #refuse(queue: Queue, member: string, waiter: Waiter, why: Refusal): void {
    const waiters = queue.waiting.get(member) ?? [];
    const at = waiters.lastIndexOf(waiter);
    if (at === -1) return;
    waiters.splice(at, 1);
    if (waiters.length === 0) queue.waiting.delete(member);
    queue.size -= 1;
    this.#waiting -= 1;
    waiter(why);
  }

  #forgetIdle(group: string, queue: Queue): void {
    if (queue.taken === 0 && queue.size === 0 && this.#groups.get(group) === queue) this.#groups.delete(group);
  }

  #letIn(): void {
    if (this.#waiting === 0) return;
    for (const [group, queue] of this.#groups) {
      if (this.#taken >= this.#limits.places) return;
      if (queue.size === 0 || queue.taken >= this.#limits.placesOfGroup) continue;
      // To the end of the line: this loop reaches it again while there is room.
      this.#groups.delete(group);
      this.#groups.set(group, queue);
      this.#letInOne(queue);
    }
  }

  #letInOne(queue: Queue): void {
    const [next] = queue.waiting;
    if (next === undefined) return;
    const [member, ahead] = next;
    const first = ahead.shift();
    queue.waiting.delete(member);
    if (ahead.length > 0) queue.waiting.set(member, ahead);
    queue.size -= 1;
    queue.taken += 1;
    this.#taken += 1;
    this.#waiting -= 1;
    first?.('admitted');
  }
}
