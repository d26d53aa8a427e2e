import { shownText } from '@floe/git';
import type { CommitSha } from '@floe/model';
import { isFloeError } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { refusalOfSigners, type SignerDeps } from './signers/refusal.ts';

/** The errors of libs/git that are about this commit and permanent. */
const REFUSALS: ReadonlySet<string> = new Set(['COMMIT_UNREADABLE', 'REPOSITORY_TOO_LARGE']);

/**
 * Checks a commit before Nix reads it. Returns why it is refused: no allowed signer signed it, a date on which Nix fails, a tree that is too
 * large when checked out, a name that no file can have. Missing content (Git LFS, git-crypt) is judged per host, by the hosts that use it.
 * Submodules, which Floe does not fetch, are noted on the revision as a warning.
 */
export async function refusalOf(deps: SignerDeps, { id, repositoryId, sha }: Revision): Promise<string | undefined> {
  return await refusalOfCommit(
    deps,
    repositoryId,
    sha,
    async (submodules) => await deps.store.revisions.noteWarnings(id, [submoduleWarning(submodules)]),
  );
}

/** The same of any commit. */
export async function refusalOfCommit(
  deps: SignerDeps,
  repositoryId: string,
  sha: CommitSha,
  onSubmodules: (paths: readonly string[]) => Promise<void> = async () => await Promise.resolve(),
): Promise<string | undefined> {
  const { mirror } = deps;
  try {
    const unsigned = await refusalOfSigners(deps, repositoryId, sha);
    if (unsigned !== undefined) return unsigned;
    const { problem } = await mirror.commit(sha);
    if (problem !== undefined) return problem;
    const report = await mirror.inspect(sha);
    if (report.submodules.length > 0) await onSubmodules(report.submodules);
    return report.problem;
  } catch (error) {
    if (isFloeError(error) && REFUSALS.has(error.code)) return error.message;
    throw error;
  }
}

const NAMED = 5;

function submoduleWarning(paths: readonly string[]): string {
  const named = paths
    .slice(0, NAMED)
    .map((path) => shownText(path, 60))
    .join(', ');
  const more = paths.length > NAMED ? ', …' : '';
  return `Floe does not fetch submodules; these are empty folders: ${named}${more}. If a host needs their files, make them inputs of the flake.`;
}
