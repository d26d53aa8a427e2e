import type { CommitSha } from '@floe/model';
import { parseCommit, signedParts } from './commit.ts';
import { toCommitSha } from './commit-sha.ts';
import { gitError } from './errors.ts';
import type { SubmoduleCommit } from './mirror-types.ts';
import type { GitObject } from './object-store.ts';
import { inOrder, writeObject, writeTree, type CommitMakerDeps, type WrittenEntry } from './object-writer.ts';
import { shownText } from './text.ts';
import { parseExactTree, type ExactEntry } from './tree.ts';
import { TreeBudget } from './tree-budget.ts';

/** The branch that keeps the commit: Nix finds commits by branch. */
export const WHOLE_BRANCH = 'floe-with-submodules';

export interface WholeCommitDeps extends CommitMakerDeps {
  readonly raw: (oid: string) => Promise<Buffer>;
  /** Whether the object was written here before. A tree is written after all that is below it. */
  readonly has: (oid: string) => Promise<boolean>;
  /** An object of the submodules; undefined: it is not there. */
  readonly other: (oid: string) => Promise<GitObject | undefined>;
  /** As {@link RepositoryLimits.downloadBytes}. */
  readonly maxDownloadBytes: number;
}

/**
 * Makes a commit like `commit`, with its date and history, in which the submodules at these paths are folders with their files. All that they need is
 * written beside the repository's objects, up to the limits of a commit's inspection: nothing has looked at these files before, and few bytes of a pack
 * may be many files. Throws SUBMODULES_REFUSED when a commit of one is not there, and REPOSITORY_TOO_LARGE.
 */
export async function writeWholeCommit(
  deps: WholeCommitDeps,
  commit: { readonly sha: CommitSha; readonly tree: string },
  submodules: readonly SubmoduleCommit[],
): Promise<CommitSha> {
  const commits = new Map(submodules.map(({ path, sha }) => [path, sha] as const));
  const budget = new TreeBudget(deps.maxDownloadBytes, 'with its submodules');
  const parents = new Set(submodules.flatMap(({ path }) => foldersAbove(path)));

  async function needed(path: string, oid: string): Promise<GitObject> {
    const object = await deps.other(oid);
    if (object === undefined)
      throw gitError('SUBMODULES_REFUSED', `the submodule ${shownText(path, 200)} has no commit ${oid.slice(0, 12)} in the repository that it names`);
    budget.bytes(object.bytes.length);
    return object;
  }

  /** Resolves to the id of the folder's tree, with the submodules below it. `isOther`: it is a submodule's, and comes with all its files. */
  async function fill(path: string, oid: string, isOther: boolean, depth: number): Promise<string> {
    const here = path === '' ? '' : `${path}/`;
    const hasBelow = path === '' || parents.has(path);
    if (!hasBelow && (!isOther || (await deps.has(oid)))) return oid;
    budget.folder(depth);
    const entries = isOther ? parseExactTree((await needed(path, oid)).bytes) : await deps.tree(oid);
    const written: WrittenEntry[] = [];
    for (const entry of entries) written.push(await filled(entry, `${here}${entry.path}`, isOther, depth));
    return await writeTree(deps, inOrder(written));
  }

  async function filled({ mode, name, type, oid }: ExactEntry, path: string, isOther: boolean, depth: number): Promise<WrittenEntry> {
    if (type === 'tree') return { mode, name, oid: await fill(path, oid, isOther, depth + 1) };
    budget.file();
    if (type === 'blob') {
      if (isOther && !(await deps.has(oid))) await writeObject(deps, 'blob', (await needed(path, oid)).bytes);
      return { mode, name, oid };
    }
    const sha = commits.get(path);
    if (sha === undefined || sha !== oid) return { mode, name, oid };
    const { type: found, bytes } = await needed(path, sha);
    if (found !== 'commit')
      throw gitError('SUBMODULES_REFUSED', `the submodule ${shownText(path, 200)} is no commit of the repository that it names`);
    return { mode: '40000', name, oid: await fill(path, parseCommit(sha, bytes).tree, true, depth + 1) };
  }

  const tree = await fill('', commit.tree, false, 1);
  const text = Buffer.from(signedParts(await deps.raw(commit.sha)).payload).toString('latin1');
  return toCommitSha(await writeObject(deps, 'commit', Buffer.from(text.replace(`tree ${commit.tree}`, `tree ${tree}`), 'latin1')));
}

function foldersAbove(path: string): string[] {
  const names = path.split('/');
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('/'));
}
