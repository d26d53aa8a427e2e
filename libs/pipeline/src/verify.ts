import { shownText } from '@floe/git';
import type { CommitSha } from '@floe/model';
import { isFloeError } from '@floe/runtime';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from './deps.ts';

/** Errors that are about this commit and permanent, of libs/git and of submodules. */
const REFUSALS: ReadonlySet<string> = new Set(['COMMIT_UNREADABLE', 'REPOSITORY_TOO_LARGE', 'SUBMODULES_REFUSED']);

/**
 * Checks a commit before Nix reads it. Returns why it is refused: a date on which Nix fails, a tree that is too large when checked out, a
 * name that no file can have. Who signed it is asked at each later step (`refusalOfSigners()`). Missing content (Git LFS, git-crypt) is judged per host, by the hosts that use it.
 * Submodules that are not fetched are noted on the first revision that has them.
 */
export async function refusalOf(
  { mirror, store }: Pick<PipelineDeps, 'mirror' | 'store'>,
  { id, sha, repositoryId }: Revision,
): Promise<string | undefined> {
  return await refusalOfCommit(mirror, sha, async (submodules) => {
    const previous = await store.revisions.newestPublishedOfBranch(repositoryId);
    // People were told.
    if (previous !== undefined && (await submodulesOf(mirror, previous.sha)) === submodules.join('\0')) return;
    await store.revisions.noteWarnings(id, [submoduleWarning(submodules)]);
  });
}

/** Undefined: that is not known any more. */
async function submodulesOf(mirror: PipelineDeps['mirror'], sha: CommitSha): Promise<string | undefined> {
  return await mirror.inspect(sha).then(
    ({ submodules }) => submodules.join('\0'),
    () => undefined,
  );
}

/** The same of any commit. */
export async function refusalOfCommit(
  mirror: PipelineDeps['mirror'],
  sha: CommitSha,
  onSubmodules: (paths: readonly string[]) => Promise<void> = async () => await Promise.resolve(),
): Promise<string | undefined> {
  try {
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
  return `Submodules are not fetched, so these folders are empty: ${named}${more}. If a host needs their files, set repository.submodules of the server (FLOE_REPOSITORY_SUBMODULES=yes): those that .gitmodules names are fetched then.`;
}
