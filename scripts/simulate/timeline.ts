interface Due {
  readonly at: number;
  readonly order: number;
  readonly run: () => void | Promise<void>;
}

/** Virtual time: what is due next runs next, whatever the real clock says. A binary heap. */
export class Timeline {
  now: number;
  #order = 0;
  readonly #heap: Due[] = [];

  constructor(start: number) {
    this.now = start;
  }

  at(time: number, run: Due['run']): void {
    this.#order += 1;
    // In whole milliseconds, as clocks tell it.
    const due = { at: Math.max(Math.round(time), this.now), order: this.#order, run };
    let index = this.#heap.push(due) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(due, this.#heap[parent])) break;
      this.#swap(index, parent);
      index = parent;
    }
  }

  after(ms: number, run: Due['run']): void {
    this.at(this.now + ms, run);
  }

  async runUntil(end: number, afterEach: () => void): Promise<void> {
    for (let due = this.#heap[0]; due !== undefined && due.at <= end; due = this.#heap[0]) {
      this.#removeFirst();
      this.now = due.at;
      // Most of what happens happens at once: a turn of the event loop for each would take most of the time.
      const done = due.run();
      if (done !== undefined) await done;
      afterEach();
    }
    this.now = end;
  }

  #removeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    for (let index = 0; ;) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      let least = index;
      if (isBefore(this.#heap[left], this.#heap[least])) least = left;
      if (isBefore(this.#heap[right], this.#heap[least])) least = right;
      if (least === index) return;
      this.#swap(index, least);
      index = least;
    }
  }

  #swap(one: number, other: number): void {
    const [first, second] = [this.#heap[one], this.#heap[other]];
    if (first === undefined || second === undefined) return;
    [this.#heap[one], this.#heap[other]] = [second, first];
  }
}

function isBefore(one: Due | undefined, other: Due | undefined): boolean {
  if (one === undefined) return false;
  if (other === undefined) return true;
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
