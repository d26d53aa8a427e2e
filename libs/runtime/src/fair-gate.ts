interface Queue {
  /** Waiting callers by member; the member whose turn is next comes first. */
  readonly waiting: Map<string, (() => void)[]>;
  taken: number;
  size: number;
}

/**
 * A {@link Gate} that serves groups of callers (e.g. by address) in turn, and within a group its members, so that a client with a
 * thousand requests gets one turn like any other. No group may hold more than its share of the places, so that one group's slow
 * work leaves room for others.
 */
export class FairGate {
  readonly #places: number;
  readonly #placesOfGroup: number;
  /** Groups that hold places or wait; the one whose turn is next comes first. */
  readonly #groups = new Map<string, Queue>();
  #taken = 0;
  #waiting = 0;

  constructor(places: number, placesOfGroup: number) {
    this.#places = places;
    this.#placesOfGroup = placesOfGroup;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting;
  }

  waitingOf(group: string): number {
    return this.#groups.get(group)?.size ?? 0;
  }

  async pass<T>(group: string, member: string, work: () => Promise<T>): Promise<T> {
    const queue = this.#groups.get(group) ?? { waiting: new Map(), taken: 0, size: 0 };
    this.#groups.set(group, queue);
    await new Promise<void>((resolve) => {
      const ahead = queue.waiting.get(member) ?? [];
      queue.waiting.set(member, ahead);
      ahead.push(resolve);
      queue.size += 1;
      this.#waiting += 1;
      this.#letIn();
    });
    try {
      return await work();
    } finally {
      this.#taken -= 1;
      queue.taken -= 1;
      if (queue.taken === 0 && queue.size === 0) this.#groups.delete(group);
      this.#letIn();
    }
  }

  #letIn(): void {
    if (this.#waiting === 0) return;
    for (const [group, queue] of this.#groups) {
      if (this.#taken >= this.#places) return;
      if (queue.size === 0 || queue.taken >= this.#placesOfGroup) continue;
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
    const go = ahead.shift();
    queue.waiting.delete(member);
    if (ahead.length > 0) queue.waiting.set(member, ahead);
    queue.size -= 1;
    queue.taken += 1;
    this.#taken += 1;
    this.#waiting -= 1;
    go?.();
  }
}
