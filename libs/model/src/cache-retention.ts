/** A path of a binary cache, by the hash in its name. */
export interface CachedPath {
  readonly hash: string;
  /** The hashes of the paths that it refers to. Some may be missing, and one may be its own. */
  readonly references: readonly string[];
  /** When it was published, or needed last, in ms. */
  readonly usedAt: number;
  /** The file with its content: several paths with the same content share it. */
  readonly archive: string;
  readonly archiveBytes: number;
}

/** What a cache keeps of the systems that nobody needs. */
export interface RetentionLimits {
  /** Paths that were published or needed since then stay. */
  readonly keepSince: number;
  /** What was used last before this time goes; undefined: nothing goes because of its age. */
  readonly unusedSince?: number | undefined;
  /** The oldest go until the cache has no more than this; undefined: nothing goes because of the size. */
  readonly maxBytes?: number | undefined;
}

export interface RetentionPlan {
  /**
   * What goes, in the order in which it is removed: what is needed least recently first, and each path after all that refer to it. So wherever the
   * removal stops, what is left refers to nothing that is gone. `usedAt`: of the newest path that leads to it.
   */
  readonly remove: readonly CachedPath[];
  /** What is needed, with all that it refers to. */
  readonly needed: ReadonlySet<string>;
}

/**
 * What leaves a cache. All that is needed stays with everything that it refers to. Of the rest a path is as old as the newest one that leads to
 * it: a closure never loses a part while its top stays.
 */
export function planRetention(paths: ReadonlyMap<string, CachedPath>, needed: ReadonlySet<string>, limits: RetentionLimits): RetentionPlan {
  const kept: Kept[] = [];
  const seen = new Set<string>();
  for (const hash of needed) follow(hash, Infinity);
  const isNeeded = new Set(kept.map(({ path }) => path.hash));
  const newestFirst = [...paths.values()].toSorted((left, right) => right.usedAt - left.usedAt || (left.hash < right.hash ? -1 : 1));
  for (const { hash, usedAt } of newestFirst) follow(hash, usedAt);

  /** Depth first, without recursion: the references of a path come before it. */
  function follow(top: string, usedAt: number): void {
    const open: { readonly path: CachedPath; next: number }[] = [];
    const enter = (hash: string): void => {
      const path = paths.get(hash);
      if (path === undefined || seen.has(hash)) return;
      seen.add(hash);
      open.push({ path, next: 0 });
    };
    enter(top);
    for (let last = open.at(-1); last !== undefined; last = open.at(-1)) {
      const reference = last.path.references[last.next];
      last.next += 1;
      if (reference !== undefined) enter(reference);
      else {
        kept.push({ path: last.path, usedAt });
        open.pop();
      }
    }
  }

  return { remove: lastOf(kept, limits), needed: isNeeded };
}

interface Kept {
  readonly path: CachedPath;
  /** Infinity: it is needed. */
  readonly usedAt: number;
}

/** From the end of the list, whose times only fall. */
function lastOf(kept: readonly Kept[], { keepSince, unusedSince, maxBytes }: RetentionLimits): CachedPath[] {
  const sharers = new Map<string, number>();
  let bytes = 0;
  for (const { path } of kept) {
    const others = sharers.get(path.archive) ?? 0;
    if (others === 0) bytes += path.archiveBytes;
    sharers.set(path.archive, others + 1);
  }
  const remove: CachedPath[] = [];
  for (const { path, usedAt } of kept.toReversed()) {
    const isOld = unusedSince !== undefined && usedAt < unusedSince;
    const isTooMuch = maxBytes !== undefined && bytes > maxBytes;
    if (usedAt >= keepSince || !(isOld || isTooMuch)) break;
    remove.push({ ...path, usedAt });
    const others = (sharers.get(path.archive) ?? 1) - 1;
    sharers.set(path.archive, others);
    if (others === 0) bytes -= path.archiveBytes;
  }
  return remove;
}
