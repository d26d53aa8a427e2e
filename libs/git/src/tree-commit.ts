import { ignores, type CommitSha } from '@floe/model';
import { toCommitSha } from './commit-sha.ts';
import { writeObject, writeTree, type CommitMakerDeps } from './object-writer.ts';
import type { ExactEntry } from './tree.ts';

/** The branch that keeps the commit of a tree: Nix finds commits by branch. */
export const TREE_BRANCH = 'floe-tree-without-ignored-files';

/** Nobody wrote it, at the beginning of time, after no other commit: two commits with the same files have the same one. */
const NOBODY = 'Floe <floe> 1 +0000';

/**
 * Makes a commit of the files in a tree that no pattern ignores. It depends on these files alone. A folder in which nothing is left is not there, as
 * ever in git.
 */
export async function writeTreeCommit(deps: CommitMakerDeps, tree: string, ignored: readonly string[]): Promise<CommitSha> {
  async function rewrite(oid: string, path: string): Promise<string | undefined> {
    const before = await deps.tree(oid);
    const after: ExactEntry[] = [];
    for (const entry of before) {
      const here = `${path}${entry.path}`;
      if (entry.type !== 'tree') {
        if (!ignores(ignored, here)) after.push(entry);
        continue;
      }
      const below = await rewrite(entry.oid, `${here}/`);
      if (below !== undefined) after.push({ ...entry, oid: below });
    }
    const isSame = after.length === before.length && after.every((entry, index) => entry.oid === before[index]?.oid);
    if (isSame) return oid;
    return after.length === 0 ? undefined : await writeTree(deps, after);
  }

  const left = ignored.length === 0 ? tree : ((await rewrite(tree, '')) ?? (await writeTree(deps, [])));
  const text = `tree ${left}\nauthor ${NOBODY}\ncommitter ${NOBODY}\n\nthe files of a commit that are evaluated\n`;
  return toCommitSha(await writeObject(deps, 'commit', Buffer.from(text)));
}
