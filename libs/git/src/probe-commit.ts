import type { CommitSha } from '@floe/model';
import { toCommitSha } from './commit-sha.ts';
import { inOrder, writeObject, writeTree, type CommitMakerDeps } from './object-writer.ts';

/** The branch that keeps the commit: Nix finds commits by branch. */
export const PROBE_BRANCH = 'floe-another-commit';
/** Flakes have no file of this name. It begins with a dot, which what reads a whole folder usually leaves out. */
const PROBE_FILE = '.floe-another-commit';

/** Makes a commit with these files, another id and another date than any that people make; `withFile`: with one file more, that nothing needs. */
export async function writeProbeCommit(deps: CommitMakerDeps, tree: string, withFile: boolean): Promise<CommitSha> {
  let root = tree;
  if (withFile) {
    const probe = { mode: '100644', name: Buffer.from(PROBE_FILE), oid: await writeObject(deps, 'blob', Buffer.from('nothing needs this file\n')) };
    const others = (await deps.tree(tree)).filter(({ name }) => !name.equals(probe.name));
    root = await writeTree(deps, inOrder([...others, probe]));
  }
  const nobody = 'Floe <floe> 1000000000 +0000';
  return toCommitSha(await writeObject(deps, 'commit', Buffer.from(`tree ${root}\nauthor ${nobody}\ncommitter ${nobody}\n\nanother commit\n`)));
}
