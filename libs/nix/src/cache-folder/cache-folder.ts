import { lstat, open, unlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { planRetention, type CachedPath, type StorePath } from '@floe/model';
import { FloeError } from '@floe/runtime';
import { hashOfPath } from './folder-entry.ts';
import { readCacheFolder, unlessMissing, type FolderContent, KnownFiles } from './read-folder.ts';
import { SharedLock } from './shared-lock.ts';

/** What was published or needed so recently stays: somebody may be about to write down that it is needed. */
export const GRACE_MS = 3600_000;
/** Narinfos that are removed before their archives are. */
const REMOVED_AT_ONCE = 200;

export interface CollectOptions {
  /** The systems that somebody needs. Asked while nothing is published. */
  readonly needed: () => Promise<Iterable<StorePath>>;
  /** What nobody has needed for so long goes; undefined: nothing goes because of its age. */
  readonly unusedForMs?: number | undefined;
  /** The oldest go until no more than this is left; undefined: nothing goes because of the size. */
  readonly maxBytes?: number | undefined;
  /** Says what would go, and changes nothing. */
  readonly isDryRun: boolean;
  /** Asked before files are removed: throws where another process may publish to the folder. Default: none does. */
  readonly confirm?: (() => Promise<void>) | undefined;
  /** So long it waits for publications to end. */
  readonly patience: AbortSignal;
  /** Ends between two steps: what is left is whole. */
  readonly signal: AbortSignal;
}

export interface RemovedPath {
  readonly storePath: string;
  /** When it was published, or needed last. */
  readonly usedAt: number;
  /** What its archive took; 0: another path has the same one. */
  readonly bytes: number;
}

export interface Collected {
  /** In the order of removal. */
  readonly removed: readonly RemovedPath[];
  readonly removedBytes: number;
  /** Files that no path had, of publications that were killed. */
  readonly leftovers: number;
  readonly leftoverBytes: number;
  /** What is left: so many paths, and of them so many are needed. */
  readonly kept: number;
  readonly keptBytes: number;
  readonly needed: number;
  /** What is needed, and lacks its archive or a path that it refers to. */
  readonly incomplete: readonly string[];
  /** Narinfos that cannot be read. While there are some, no leftovers are removed: they may belong to these. */
  readonly unreadable: readonly string[];
}

/** What changes a folder. */
export interface FolderFiles {
  remove(path: string): Promise<void>;
  touch(path: string, time: Date): Promise<void>;
  /** What was removed is also gone after a loss of power. */
  sync(folder: string): Promise<void>;
}

const NOBODY_ELSE = async (): Promise<void> => await Promise.resolve();

const FILES: FolderFiles = {
  async remove(path) {
    await unlessMissing(async () => await unlink(path));
  },
  touch: async (path, time) => await utimes(path, time, time),
  sync: async (folder) => {
    const handle = await open(folder);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

/**
 * The folder of a binary cache that this process alone writes to, or that several do in turn: then `confirm` says whose turn it is. Publications
 * share a lock that a removal has alone: `nix copy` leaves out what is there, and it must not go before what was published is known to be needed.
 * The time of a narinfo is when its path was published or needed last; what is younger than {@link GRACE_MS} never goes, with all that it refers to.
 */
export class CacheFolder {
  readonly #dir: string;
  readonly #now: () => number;
  readonly #lock = new SharedLock();
  readonly #files: FolderFiles;

  constructor(dir: string, now: () => number, files = FILES) {
    this.#dir = dir;
    this.#now = now;
    this.#files = files;
  }

  /** Publishes, or reads back: nothing is removed meanwhile, and these paths not soon after. */
  async publishing<T>(paths: readonly StorePath[], work: () => Promise<T>): Promise<T> {
    return await this.#lock.share(async () => {
      const result = await work();
      await this.#touch(paths.flatMap((path) => hashOfPath(path) ?? []));
      return result;
    });
  }

  /** Somebody is about to need the path. False: the cache does not have it. */
  async keep(path: StorePath): Promise<boolean> {
    const hash = hashOfPath(path);
    return hash !== undefined && (await this.#lock.share(async () => await this.#touch([hash]))) > 0;
  }

  /** Removes what nobody needs. Throws a retryable CACHE_BUSY while systems are published. */
  async collect(options: CollectOptions): Promise<Collected> {
    // Most of the reading, while others may publish.
    const known = new KnownFiles();
    await readCacheFolder(this.#dir, known);
    if (options.isDryRun) return await this.#lock.share(async () => await this.#collect(options, known));
    const collected = await this.#lock.alone(async () => await this.#collect(options, known), options.patience);
    if (collected !== undefined) return collected;
    throw new FloeError('CACHE_BUSY', 'systems are published to the cache right now: try again in some minutes', { retryable: true });
  }

  async #collect({ needed, unusedForMs, maxBytes, isDryRun, signal, confirm = NOBODY_ELSE }: CollectOptions, known: KnownFiles): Promise<Collected> {
    const content = await readCacheFolder(this.#dir, known);
    const now = this.#now();
    const asked = new Set([...(await needed())].flatMap((path) => hashOfPath(path) ?? []));
    const limits = { keepSince: now - GRACE_MS, unusedSince: unusedForMs === undefined ? undefined : now - unusedForMs, maxBytes };
    const plan = planRetention(content.paths, asked, limits);
    const old = content.unreadable.length > 0 ? [] : content.leftovers.filter(({ madeAt }) => madeAt < limits.keepSince);
    if (!isDryRun) await this.#touch([...asked].filter((hash) => content.paths.has(hash)));
    const { removed, kept } = await this.#remove(content, plan.remove, { isDryRun, signal, confirm });
    const leftovers = signal.aborted ? [] : old;
    if (!isDryRun && leftovers.length > 0) await confirm();
    if (!isDryRun) for (const { name } of leftovers) await this.#files.remove(join(this.#dir, name));
    return {
      removed,
      removedBytes: sum(removed.map(({ bytes }) => bytes)),
      leftovers: leftovers.length,
      leftoverBytes: sum(leftovers.map(({ bytes }) => bytes)),
      kept: kept.length,
      keptBytes: sum([...new Map(kept.map(({ archive, archiveBytes }) => [archive, archiveBytes])).values()]),
      needed: plan.needed.size,
      incomplete: incompleteOf(content, plan.needed),
      unreadable: content.unreadable,
    };
  }

  /**
   * Some narinfos at a time, and then the archives that no other has: wherever it is killed, each narinfo that is left has its archive, and all that
   * it refers to. What it leaves behind are archives, which are leftovers of the next time.
   */
  async #remove(
    { paths }: FolderContent,
    remove: readonly CachedPath[],
    {
      isDryRun,
      signal,
      confirm,
    }: Required<Pick<CollectOptions, 'isDryRun' | 'signal'>> & { readonly confirm: NonNullable<CollectOptions['confirm']> },
  ) {
    const users = Map.groupBy(paths.values(), ({ archive }) => archive);
    const left = new Map([...users].map(([archive, all]) => [archive, all.length]));
    const kept = new Map(paths);
    const removed: RemovedPath[] = [];
    for (let start = 0; start < remove.length && !signal.aborted; start += REMOVED_AT_ONCE) {
      const batch = remove.slice(start, start + REMOVED_AT_ONCE);
      const unused: string[] = [];
      if (!isDryRun) await confirm();
      if (signal.aborted) break;
      for (const { hash, archive, archiveBytes, usedAt } of batch) {
        if (!isDryRun) await this.#files.remove(join(this.#dir, `${hash}.narinfo`));
        const others = (left.get(archive) ?? 1) - 1;
        left.set(archive, others);
        if (others === 0) unused.push(archive);
        removed.push({ storePath: paths.get(hash)?.storePath ?? hash, usedAt, bytes: others === 0 ? archiveBytes : 0 });
        kept.delete(hash);
      }
      if (isDryRun) continue;
      // Also after a loss of power no narinfo comes back without its archive.
      await this.#files.sync(this.#dir);
      await Promise.all(unused.map(async (archive) => await this.#files.remove(join(this.#dir, archive))));
    }
    return { removed, kept: [...kept.values()] };
  }

  /** Resolves to how many of them are there. */
  async #touch(hashes: readonly string[]): Promise<number> {
    const time = new Date(this.#now());
    let there = 0;
    for (const hash of hashes) {
      const path = join(this.#dir, `${hash}.narinfo`);
      const isThere = await unlessMissing(async () => {
        if (!(await lstat(path)).isFile()) return false;
        await this.#files.touch(path, time);
        return true;
      });
      if (isThere === true) there += 1;
    }
    return there;
  }
}

function incompleteOf({ paths, withoutArchive }: FolderContent, needed: ReadonlySet<string>): string[] {
  return [...needed]
    .flatMap((hash) => paths.get(hash) ?? [])
    .filter(({ hash, references }) => withoutArchive.has(hash) || references.some((each) => !paths.has(each)))
    .map(({ storePath }) => storePath)
    .toSorted();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
