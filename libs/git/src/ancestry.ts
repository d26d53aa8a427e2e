import type { CommitSha } from '@floe/model';

/** What the walk needs to know of a commit. */
export interface AncestryCommit {
  readonly parents: readonly CommitSha[];
  readonly committedAt: number;
}

/** Commits that are read to compare two: about 300 bytes of memory each, and nixpkgs gains as many in three years. */
const MAX_COMPARED_COMMITS = 200_000;

/**
 * Whether `to` is reached from `from` by adding commits only; 'unknown' when that takes more than `maxCommits`. The walk
 * goes from the newest commit on until all that is left is known to both, so it is as short as what is new, as long as
 * committers' clocks are roughly right; with wrong clocks it is longer, and as exact.
 *
 * isomorphic-git's `isDescendent` refuses commits that git takes (an author line without a space before the mail), and
 * reads the whole history to say no.
 */
export async function isFastForward(
  from: CommitSha,
  to: CommitSha,
  read: (sha: CommitSha) => Promise<AncestryCommit>,
  maxCommits = MAX_COMPARED_COMMITS,
): Promise<boolean | 'unknown'> {
  if (from === to) return true;
  const commits = new Map<CommitSha, AncestryCommit>();
  const known = new Set<CommitSha>(); // Reached from `from`.
  const fresh = new Set<CommitSha>(); // Reached from `to`.
  const queue = new DateQueue();
  let freshInQueue = 0;

  async function reach(sha: CommitSha, isKnown: boolean): Promise<void> {
    if (known.has(sha) || (!isKnown && fresh.has(sha))) return;
    const wasQueuedFresh = queue.has(sha) && fresh.has(sha);
    (isKnown ? known : fresh).add(sha);
    const commit = commits.get(sha) ?? (await read(sha));
    commits.set(sha, commit);
    if (isKnown && wasQueuedFresh) freshInQueue -= 1;
    if (!isKnown) freshInQueue += 1;
    queue.push(sha, commit.committedAt);
  }

  await reach(from, true);
  await reach(to, false);
  while (freshInQueue > 0) {
    if (commits.size > maxCommits) return 'unknown';
    const sha = queue.pop();
    const commit = sha === undefined ? undefined : commits.get(sha);
    if (sha === undefined || commit === undefined) break;
    const isKnown = known.has(sha);
    if (!isKnown) freshInQueue -= 1;
    for (const parent of commit.parents) {
      if (!isKnown && parent === from) return true;
      await reach(parent, isKnown);
    }
  }
  return false;
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
