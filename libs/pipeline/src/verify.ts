import { shownText } from '@floe/git';
import { isFloeError } from '@floe/runtime';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from './deps.ts';

/** Failures of libs/git that are about this commit and will not pass. */
const REFUSALS: ReadonlySet<string> = new Set(['COMMIT_UNREADABLE', 'REPOSITORY_TOO_LARGE']);

/**
 * Looks at a commit before Nix does. Returns why nothing may be done with it: a date that Nix fails on, a tree that has
 * no end when it is laid out, a name that no file can have. What is only missing (Git LFS, git-crypt) is judged host by
 * host, by those who use it. Submodules, which Floe does not fetch, are noted on the revision.
 */
export async function refusalOf(deps: Pick<PipelineDeps, 'mirror' | 'store'>, revision: Revision): Promise<string | undefined> {
  const { mirror, store } = deps;
  try {
    const { problem } = await mirror.commit(revision.sha);
    if (problem !== undefined) return problem;
    const report = await mirror.inspect(revision.sha);
    if (report.submodules.length > 0) await store.revisions.noteWarnings(revision.id, [submoduleWarning(report.submodules)]);
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
  return `Submodules are empty folders here, since Floe does not fetch them: ${named}${more}. Make what a host needs of them an input of the flake.`;
}
