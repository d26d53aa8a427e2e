import type { NodeChange, NodeKind } from '@floe/model';

/** How a path differs between two commits. A changed mode, or target of a link or submodule, is 'modified'. */
export interface PathChange {
  /** From the root of the repository, with `/`. A file, a symbolic link or a submodule; never a folder. */
  readonly path: string;
  readonly kind: 'added' | 'modified' | 'removed';
}

/** An entry of a git tree. */
export interface TreeEntry {
  readonly path: string;
  readonly oid: string;
  readonly mode: string;
  readonly type: 'blob' | 'tree' | 'commit';
}

/** With more changes than this an order by them has no value; a hostile tree is endless. */
const MAX_CHANGES = 100_000;
/** The longest path on Linux. */
const MAX_PATH_LENGTH = 4_096;
export const TOO_MANY_CHANGES = 'too many changes';

type ReadTree = (oid: string) => Promise<readonly TreeEntry[]>;

/**
 * The paths that differ between two trees, sorted. Only folders with different ids are read, so the cost depends on the change
 * and not on the size of the repository. `from` undefined: an empty tree.
 */
export async function diffTrees(from: string | undefined, to: string, readTree: ReadTree): Promise<PathChange[] | typeof TOO_MANY_CHANGES> {
  const nodes = await diffNodes(from, to, readTree);
  return nodes === TOO_MANY_CHANGES ? nodes : nodes.flatMap(fileChange);
}

/** The same with folders, and what is there before and after. */
export async function diffNodes(from: string | undefined, to: string, readTree: ReadTree): Promise<NodeChange[] | typeof TOO_MANY_CHANGES> {
  const changes: NodeChange[] = [];
  const folders = new Budget(MAX_CHANGES);
  await collectChanges(from, to, '', async (oid) => (folders.take() ? await readTree(oid) : []), changes);
  if (folders.isSpent || changes.length > MAX_CHANGES) return TOO_MANY_CHANGES;
  return changes.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function fileChange({ path, before, after }: NodeChange): PathChange[] {
  const wasFile = before !== undefined && before !== 'folder';
  const isFile = after !== undefined && after !== 'folder';
  if (!wasFile && !isFile) return [];
  return [{ path, kind: wasFile && isFile ? 'modified' : isFile ? 'added' : 'removed' }];
}

async function collectChanges(
  from: string | undefined,
  to: string | undefined,
  prefix: string,
  readTree: ReadTree,
  changes: NodeChange[],
): Promise<void> {
  if (from === to || changes.length > MAX_CHANGES || prefix.length > MAX_PATH_LENGTH) return;
  const before = new Map((from === undefined ? [] : await readTree(from)).map((entry) => [entry.path, entry]));
  const after = to === undefined ? [] : await readTree(to);
  for (const entry of after) {
    const old = before.get(entry.path);
    before.delete(entry.path);
    if (old?.oid === entry.oid && old.mode === entry.mode) continue;
    await compareEntries(old, entry, `${prefix}${entry.path}`, readTree, changes);
  }
  for (const old of before.values()) await compareEntries(old, undefined, `${prefix}${old.path}`, readTree, changes);
}

async function compareEntries(
  old: TreeEntry | undefined,
  entry: TreeEntry | undefined,
  path: string,
  readTree: ReadTree,
  changes: NodeChange[],
): Promise<void> {
  const [before, after] = [nodeKind(old), nodeKind(entry)];
  if (before !== 'folder' || after !== 'folder') changes.push({ path, before, after });
  await collectChanges(before === 'folder' ? old?.oid : undefined, after === 'folder' ? entry?.oid : undefined, `${path}/`, readTree, changes);
}

function nodeKind(entry: TreeEntry | undefined): NodeKind | undefined {
  if (entry === undefined) return undefined;
  if (entry.type === 'tree') return 'folder';
  if (entry.type === 'commit') return 'submodule';
  if (entry.mode.startsWith('12')) return 'link';
  return entry.mode.endsWith('755') ? 'executable' : 'file';
}

class Budget {
  #left: number;

  constructor(count: number) {
    this.#left = count;
  }

  take(): boolean {
    this.#left -= 1;
    return this.#left >= 0;
  }

  get isSpent(): boolean {
    return this.#left < 0;
  }
}
