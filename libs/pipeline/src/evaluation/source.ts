import { createHash } from 'node:crypto';
import { ignores, TREE_ADDRESS, type CommitSha } from '@floe/model';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import type { EvaluateSource } from './evaluate-source.ts';

type SourceDeps = Pick<PipelineDeps, 'mirror' | 'source'>;

/** The key of commits as they are: nothing is known of another commit with it. */
const AS_COMMIT = 'commit';
/** The key of commits with ignored files: two with the same one are evaluated by the same settings, and the changes between them decide. */
const BUT_IGNORED = `${AS_COMMIT} but `;

/** The address by which Nix evaluates a commit. */
export async function addressOf({ mirror, source }: SourceDeps, sha: CommitSha): Promise<string> {
  return source?.kind === 'tree' ? (await mirror.tree(sha, source.ignored)).flakeUrl : await mirror.flakeUrl(sha);
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
  const key = keyOf(address, deps.source);
  if (sourceKey !== key) await deps.store.revisions.noteSource(id, key);
  return { address, key };
}

/** What is evaluated of a commit: of a tree its hash, and the settings. With the folder of the flake, without that of the mirror. */
function keyOf(address: string, source: EvaluateSource | undefined): string {
  const file = source?.hostsFile === undefined ? '' : `file=${source.hostsFile}&`;
  const where = `${file}${source?.attribute === undefined ? '' : `hosts=${source.attribute}&`}`;
  const query = address.split('?')[1] ?? '';
  if (address.endsWith(TREE_ADDRESS)) return `${where}${query}`;
  if (source === undefined || source.ignored.length === 0) return AS_COMMIT;
  const settings = new URLSearchParams(query);
  settings.delete('rev');
  const patterns = createHash('sha256').update(source.ignored.join(',')).digest('hex');
  return `${BUT_IGNORED}${patterns} ${where}${settings.toString()}`;
}

/** Whether what is known of one revision holds for the other: the same files are evaluated, or they differ in none but ignored ones. */
export async function isSameSource(
  { mirror, source }: SourceDeps,
  before: Pick<Revision, 'sha' | 'sourceKey'>,
  { sha, key }: { readonly sha: CommitSha; readonly key: string },
): Promise<boolean> {
  if (before.sourceKey !== key) return false;
  if (key.endsWith(TREE_ADDRESS)) return true;
  if (!key.startsWith(BUT_IGNORED)) return false;
  const changes = await mirror.changedPaths(before.sha, sha);
  return changes !== 'unknown' && changes.every(({ path }) => ignores(source?.ignored ?? [], path));
}
