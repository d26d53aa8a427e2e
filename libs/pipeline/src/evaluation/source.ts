import type { CommitSha } from '@floe/model';
import { TREE_ADDRESS } from '@floe/model';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';

type SourceDeps = Pick<PipelineDeps, 'mirror' | 'source'>;

/** What evaluates differs only if this does. Of a commit as it is nothing is known. */
const AS_COMMIT = 'commit';

/** The address by which Nix evaluates a commit. */
export async function addressOf({ mirror, source }: SourceDeps, sha: CommitSha): Promise<string> {
  return source?.kind === 'tree' ? (await mirror.tree(sha, source.ignored)).flakeUrl : mirror.flakeUrl(sha);
}

/** The same of a commit like it, in which these files cannot be read. */
export async function addressWithout({ mirror, source }: SourceDeps, sha: CommitSha, paths: readonly string[]): Promise<string> {
  if (source?.kind !== 'tree') return await mirror.flakeUrlWithout(sha, paths);
  const { sha: tree } = await mirror.tree(sha, source.ignored);
  return `${await mirror.flakeUrlWithout(tree, paths)}${TREE_ADDRESS}`;
}

/** The same of another commit with the same files, or with one more. */
export async function addressOfAnother({ mirror, source }: SourceDeps, sha: CommitSha, withFile: boolean): Promise<string> {
  if (source?.kind !== 'tree') return await mirror.flakeUrlOfAnother(sha, withFile);
  const { sha: tree } = await mirror.tree(sha, source.ignored);
  return `${await mirror.flakeUrlOfAnother(tree, withFile)}${TREE_ADDRESS}`;
}

/** The address of a revision, and what it is a function of; that is noted with it. */
export async function sourceOf(
  deps: SourceDeps & Pick<PipelineDeps, 'store'>,
  { id, sha, sourceKey }: Revision,
): Promise<{ readonly address: string; readonly key: string }> {
  const address = await addressOf(deps, sha);
  // With the folder of the flake, without that of the mirror.
  const where = deps.source?.attribute === undefined ? '' : `hosts=${deps.source.attribute}&`;
  const key = address.endsWith(TREE_ADDRESS) ? `${where}${address.split('?')[1] ?? ''}` : AS_COMMIT;
  if (sourceKey !== key) await deps.store.revisions.noteSource(id, key);
  return { address, key };
}

/** Whether what is known of one revision holds for the other. */
export function isSameSource(one: string | undefined, other: string): boolean {
  return one === other && other.endsWith(TREE_ADDRESS);
}
