import type { CommitSha } from '@floe/model';
import { toCommitSha } from './commit-sha.ts';
import { writeObject, writeTree, type CommitMakerDeps, type WrittenEntry } from './object-writer.ts';

/** The branch that keeps the variant: Nix finds commits by branch. */
export const VARIANT_BRANCH = 'floe-without-unreadable-files';
/**
 * The target of the symbolic links that replace the files: it does not exist, so reading one fails. Nix's error only contains the
 * first name of the path, so the number of the file is in that name.
 */
export const NOWHERE = '/floe-has-not-file-';

export interface VariantDeps extends CommitMakerDeps {
  readonly raw: (oid: string) => Promise<Buffer>;
}

interface Folder {
  readonly files: Set<string>;
  readonly folders: Map<string, Folder>;
}

/**
 * Makes a commit like `sha` in which the files at `paths` are dangling links. It has the same date and no history, and is used
 * only to ask Nix whether a host evaluates without those files.
 */
export async function writeVariant(
  deps: VariantDeps,
  commit: { readonly sha: CommitSha; readonly tree: string },
  paths: readonly string[],
): Promise<CommitSha> {
  async function rewrite(oid: string, folder: Folder, path: string): Promise<string> {
    const written: WrittenEntry[] = [];
    for (const entry of await deps.tree(oid)) {
      const below = entry.type === 'tree' ? folder.folders.get(entry.path) : undefined;
      const isHidden = entry.type === 'blob' && folder.files.has(entry.path);
      const here = `${path}/${entry.path}`;
      const link = isHidden ? await writeObject(deps, 'blob', Buffer.from(`${NOWHERE}${paths.indexOf(here.slice(1))}-`)) : undefined;
      const changed = link ?? (below === undefined ? entry.oid : await rewrite(entry.oid, below, here));
      written.push({ mode: isHidden ? '120000' : entry.mode, name: entry.name, oid: changed });
    }
    return await writeTree(deps, written);
  }

  const tree = await rewrite(commit.tree, foldersOf(paths), '');
  const text = (await deps.raw(commit.sha)).toString('latin1');
  const committer = /^committer .*$/m.exec(text)?.[0] ?? 'committer Floe <floe> 0 +0000';
  const author = committer.replace(/^committer/, 'author');
  return toCommitSha(
    await writeObject(deps, 'commit', Buffer.from(`tree ${tree}\n${author}\n${committer}\n\nwithout ${paths.length} files\n`, 'latin1')),
  );
}

function foldersOf(paths: readonly string[]): Folder {
  const root: Folder = { files: new Set(), folders: new Map() };
  for (const path of paths) {
    const names = path.split('/');
    let folder = root;
    for (const name of names.slice(0, -1)) {
      const next = folder.folders.get(name) ?? { files: new Set(), folders: new Map() };
      folder.folders.set(name, next);
      folder = next;
    }
    folder.files.add(names.at(-1) ?? '');
  }
  return root;
}
