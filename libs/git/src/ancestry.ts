import type { CommitSha } from '@floe/model';

/** What the walk needs to know of a commit. */
export interface AncestryCommit {
  readonly parents: readonly CommitSha[];
  readonly committedAt: number;
}

export interface Ancestry {
  /** Whether `to` is reached from `from` by adding commits only. */
  readonly isFastForward: boolean;
  /** How many commits `to` has that `from` has not. */
  readonly count: number;
}

/**
 * Compares two commits by walking their histories from the newest commit on until everything that is left is known to
 * both. `from` undefined counts the whole history. The walk stays as short as what is new as long as committers' clocks
 * are roughly right; with wrong clocks `isFastForward` is still exact, and `count` may be too high.
 */
export async function compareHistory(
  from: CommitSha | undefined,
  to: CommitSha,
  read: (sha: CommitSha) => Promise<AncestryCommit>,
): Promise<Ancestry> {
  if (from === to) return { isFastForward: true, count: 0 };
  const commits = new Map<CommitSha, AncestryCommit>();
  const known = new Set<CommitSha>(); // Reached from `from`.
  const fresh = new Set<CommitSha>(); // Reached from `to`; those not in `known` are what is new.
  const queue = new DateQueue();
  let freshInQueue = 0;
  let isFastForward = false;

  async function reach(sha: CommitSha, isKnown: boolean): Promise<void> {
    if (!isKnown && sha === from) isFastForward = true;
    if (known.has(sha) || (!isKnown && fresh.has(sha))) return;
    const wasQueuedFresh = queue.has(sha) && fresh.has(sha);
    (isKnown ? known : fresh).add(sha);
    const commit = commits.get(sha) ?? (await read(sha));
    commits.set(sha, commit);
    if (isKnown && wasQueuedFresh) freshInQueue -= 1;
    if (!isKnown) freshInQueue += 1;
    queue.push(sha, commit.committedAt);
  }

  if (from !== undefined) await reach(from, true);
  await reach(to, false);
  while (freshInQueue > 0) {
    const sha = queue.pop();
    const commit = sha === undefined ? undefined : commits.get(sha);
    if (sha === undefined || commit === undefined) break;
    const isKnown = known.has(sha);
    if (!isKnown) freshInQueue -= 1;
    for (const parent of commit.parents) await reach(parent, isKnown);
  }
  let count = 0;
  for (const sha of fresh) if (!known.has(sha)) count += 1;
  return { isFastForward: isFastForward || from === undefined, count };
}

/** The queued commits, newest first: a binary heap, each commit in it once. */
class DateQueue {
  readonly #heap: { readonly sha: CommitSha; readonly at: number }[] = [];
  readonly #queued = new Set<CommitSha>();

  has(sha: CommitSha): boolean {
    return this.#queued.has(sha);
  }

  push(sha: CommitSha, at: number): void {
    if (this.#queued.has(sha)) return;
    this.#queued.add(sha);
    const heap = this.#heap;
    const item = { sha, at };
    let index = heap.length;
    heap.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.at >= at) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = item;
  }

  pop(): CommitSha | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined) return undefined;
    this.#queued.delete(top.sha);
    if (heap.length === 0) return top.sha;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      if (right !== undefined && right.at > left.at) child += 1;
      const below = heap[child];
      if (below === undefined || below.at <= last.at) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
    return top.sha;
  }
}
