import type { CommitSha } from '@floe/model';

/** What the walk needs to know of a commit. */
export interface AncestryCommit {
  readonly parents: readonly CommitSha[];
  readonly committedAt: number;
}

/** A commit that the walk came to. */
interface Visit {
  readonly commit: AncestryCommit;
  /** Reached from `from`. */
  isKnown: boolean;
  isQueued: boolean;
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
  const found = await compare(from, to, read, maxCommits, (parent) => parent === from);
  return typeof found === 'string' ? found === 'enough' || 'unknown' : false;
}

/**
 * The commits that `to` has and `from` has not; 'unknown' when finding them takes more than `maxCommits`. With clocks of committers that
 * are far wrong, old commits may be among them; a new one is always.
 */
export async function newCommits(
  from: CommitSha,
  to: CommitSha,
  read: (sha: CommitSha) => Promise<AncestryCommit>,
  maxCommits = MAX_COMPARED_COMMITS,
): Promise<readonly CommitSha[] | 'unknown'> {
  const found = await compare(from, to, read, maxCommits, () => false);
  return typeof found === 'string' ? 'unknown' : [...found].flatMap(([sha, { isKnown }]) => (isKnown ? [] : [sha]));
}

/** The commits that it came to. `isEnough`: of a parent of a commit that `from` has not. */
async function compare(
  from: CommitSha,
  to: CommitSha,
  read: (sha: CommitSha) => Promise<AncestryCommit>,
  maxCommits: number,
  isEnough: (parent: CommitSha) => boolean,
): Promise<ReadonlyMap<CommitSha, Visit> | 'enough' | 'unknown'> {
  const visits = new Map<CommitSha, Visit>();
  const queue: Visit[] = []; // The newest last.
  let unknownInQueue = 0;

  function enqueue(visit: Visit): void {
    let [low, high] = [0, queue.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((queue[middle]?.commit.committedAt ?? 0) < visit.commit.committedAt) low = middle + 1;
      else high = middle;
    }
    queue.splice(low, 0, visit);
    visit.isQueued = true;
  }
  async function reach(sha: CommitSha, isKnown: boolean): Promise<void> {
    const seen = visits.get(sha);
    if (seen === undefined) {
      const visit = { commit: await read(sha), isKnown, isQueued: true };
      visits.set(sha, visit);
      enqueue(visit);
      if (!isKnown) unknownInQueue += 1;
    } else if (isKnown && !seen.isKnown) {
      seen.isKnown = true;
      // Its parents are known, too.
      if (seen.isQueued) unknownInQueue -= 1;
      else enqueue(seen);
    }
  }

  await reach(from, true);
  await reach(to, false);
  while (unknownInQueue > 0) {
    if (visits.size > maxCommits) return 'unknown';
    const visit = queue.pop();
    if (visit === undefined) break;
    visit.isQueued = false;
    if (!visit.isKnown) unknownInQueue -= 1;
    for (const parent of visit.commit.parents) {
      if (!visit.isKnown && isEnough(parent)) return 'enough';
      await reach(parent, visit.isKnown);
    }
  }
  return visits;
}
