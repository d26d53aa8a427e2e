import { readFilters } from './gitattributes.ts';
import { DOWNLOAD_SETTING, MAX_FILES, MAX_TREE_DEPTH, mib, tooLarge, UNPACKED_TREE_RATIO } from './limits.ts';
import type { OpaqueFile, TreeReport } from './mirror-types.ts';
import { opaqueKind } from './opaque-kind.ts';
import { DamagedError } from './pack/damaged.ts';
import type { TreeEntry } from './path-changes.ts';
import { shownText } from './text.ts';

/** The object reads that the inspection needs. */
export interface TreeObjects {
  tree(oid: string): Promise<TreeEntry[]>;
  peek(oid: string, count: number): Promise<{ readonly size: number; readonly beginning: Buffer } | undefined>;
  blob(oid: string): Promise<Buffer>;
}

/** A tree object with everything below it. Identified by its id, so it is inspected once however often it occurs. */
interface TreeFacts {
  readonly files: number;
  readonly bytes: number;
  readonly depth: number;
  /** Length of the longest path below. */
  readonly pathLength: number;
  readonly problem: string | undefined;
  readonly suspects: readonly Suspect[];
  readonly suspectCount: number;
  readonly submodules: readonly string[];
  readonly attributes: readonly { readonly folder: string; readonly text: string }[];
}
interface Suspect extends OpaqueFile {
  /** Encrypted on purpose, like agenix's secrets, unless a filter of .gitattributes should have decrypted it. */
  readonly needsFilter: boolean;
}

const LISTED = 200;
const MAX_ATTRIBUTES_BYTES = 64 * 1024;
const MAX_NAME_BYTES = 255;
const MAX_PATH_LENGTH = 4_095;
/** Remembered trees: those of the last commit, so that the next one costs only what is new in it. */
const REMEMBERED_TREES = 50_000;
const BEGINNING = 64;
const TOO_MANY_PATTERNS = 'the patterns in the .gitattributes files of the commit take too long to match: make them fewer or simpler';

/** Inspects the files of commits, each new folder once. */
export class TreeInspector {
  #known = new Map<string, TreeFacts>();
  readonly #objects: TreeObjects;
  readonly #maxBytes: number;

  constructor(objects: TreeObjects, maxDownloadBytes: number) {
    this.#objects = objects;
    this.#maxBytes = maxDownloadBytes * UNPACKED_TREE_RATIO;
  }

  /** Throws `REPOSITORY_TOO_LARGE` for a tree that would be too large when checked out. */
  async inspect(root: string): Promise<TreeReport> {
    const before = this.#known;
    const seen = new Map<string, TreeFacts>();
    const facts = await this.#visit(root, 1, before, seen);
    this.#known = seen.size > REMEMBERED_TREES ? new Map() : seen;
    if (facts.files > MAX_FILES) throw tooLarge(`it has more than ${MAX_FILES} files`);
    if (facts.depth > MAX_TREE_DEPTH) throw tooDeep();
    if (facts.bytes > this.#maxBytes) throw tooLarge(`its files are larger than ${mib(this.#maxBytes)} together`, DOWNLOAD_SETTING);
    if (facts.pathLength > MAX_PATH_LENGTH) throw tooLarge(`it has a path of more than ${MAX_PATH_LENGTH} characters`);
    const isFiltered = readFilters(facts.attributes);
    let isTooMuch = false;
    const opaque = facts.suspects.filter(({ needsFilter, path }) => {
      if (!needsFilter) return true;
      const answer = isFiltered(path);
      isTooMuch ||= answer === undefined;
      return answer === true;
    });
    return {
      problem: facts.problem ?? (isTooMuch ? TOO_MANY_PATTERNS : undefined),
      opaque: opaque.map(({ path, kind }) => ({ path, kind })),
      isComplete: facts.suspectCount === facts.suspects.length,
      submodules: facts.submodules,
    };
  }

  async #visit(oid: string, depth: number, before: ReadonlyMap<string, TreeFacts>, seen: Map<string, TreeFacts>): Promise<TreeFacts> {
    const known = seen.get(oid);
    if (known !== undefined) return known;
    if (depth > MAX_TREE_DEPTH) throw tooDeep();
    if (seen.size > MAX_FILES) throw tooLarge(`it has more than ${MAX_FILES} folders`);
    const entries = await this.#objects.tree(oid);
    const old = before.get(oid);
    if (old !== undefined) {
      // Already known; its folders must be remembered for the next commit, too.
      for (const entry of entries) if (entry.type === 'tree') await this.#visit(entry.oid, depth + 1, before, seen);
      seen.set(oid, old);
      return old;
    }
    const facts = await this.#look(entries, async (child) => await this.#visit(child, depth + 1, before, seen));
    seen.set(oid, facts);
    return facts;
  }

  async #look(entries: readonly TreeEntry[], visit: (oid: string) => Promise<TreeFacts>): Promise<TreeFacts> {
    const facts = {
      files: 0,
      bytes: 0,
      depth: 1,
      pathLength: 0,
      problem: undefined as string | undefined,
      suspects: [] as Suspect[],
      suspectCount: 0,
      submodules: [] as string[],
      attributes: [] as { folder: string; text: string }[],
    };
    const names = new Set<string>();
    for (const entry of entries) {
      const name = entry.path;
      facts.problem ??= nameProblem(name, names);
      names.add(name);
      facts.pathLength = Math.max(facts.pathLength, name.length);
      if (entry.type === 'commit') {
        facts.submodules.push(name);
      } else if (entry.type === 'tree') {
        const below = await visit(entry.oid);
        facts.files += below.files;
        facts.bytes += below.bytes;
        facts.depth = Math.max(facts.depth, below.depth + 1);
        facts.pathLength = Math.max(facts.pathLength, name.length + 1 + below.pathLength);
        facts.problem ??= below.problem;
        facts.suspectCount += below.suspectCount;
        for (const suspect of below.suspects) facts.suspects.push({ ...suspect, path: `${name}/${suspect.path}` });
        for (const path of below.submodules) facts.submodules.push(`${name}/${path}`);
        for (const { folder, text } of below.attributes) facts.attributes.push({ folder: folder === '' ? name : `${name}/${folder}`, text });
      } else {
        await this.#lookAtFile(entry, facts);
      }
      // Bounded: a folder that occurs often would multiply these lists.
      facts.suspects.length = Math.min(facts.suspects.length, LISTED);
      facts.submodules.length = Math.min(facts.submodules.length, LISTED);
      facts.attributes.length = Math.min(facts.attributes.length, LISTED);
    }
    return facts;
  }

  async #lookAtFile(
    entry: TreeEntry,
    facts: { files: number; bytes: number; suspects: Suspect[]; suspectCount: number; attributes: { folder: string; text: string }[] },
  ): Promise<void> {
    const peeked = await this.#objects.peek(entry.oid, BEGINNING);
    if (peeked === undefined) throw new DamagedError(`the file ${entry.oid} is missing`);
    facts.files += 1;
    facts.bytes += peeked.size;
    if (entry.mode === '120000') return;
    const opaque = opaqueKind(peeked.size, peeked.beginning);
    if (opaque !== undefined) {
      facts.suspects.push({ path: entry.path, ...opaque });
      facts.suspectCount += 1;
    }
    if (entry.path === '.gitattributes' && peeked.size <= MAX_ATTRIBUTES_BYTES) {
      facts.attributes.push({ folder: '', text: (await this.#objects.blob(entry.oid)).toString('utf8') });
    }
  }
}

function tooDeep(): Error {
  return tooLarge(`it has folders in more than ${MAX_TREE_DEPTH} folders`);
}

/** Names that git-fsck rejects, and names that no file system can hold. */
function nameProblem(name: string, others: ReadonlySet<string>): string | undefined {
  const isForbidden = name === '' || name === '.' || name === '..' || name.includes('/') || name.toLowerCase() === '.git';
  const shown = shownText(name, 100);
  if (isForbidden) return `the commit has a file or folder with a name that git forbids ("${shown}"): remove it`;
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `the commit has a file or folder whose name is too long ("${shown}"): rename it`;
  return others.has(name) ? `the commit has two files or folders of the same name ("${shown}"): remove one` : undefined;
}
