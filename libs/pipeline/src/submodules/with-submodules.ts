import type { GitMirror } from '@floe/git';
import type { CommitSha } from '@floe/model';
import type { Submodules } from '@floe/nix';
import { isFloeError } from '@floe/runtime';

interface Whole {
  readonly sha: CommitSha;
  readonly flakeUrl: string;
}

/**
 * The mirror in the folder `dir`, of the repository at `url`, in which commits have the files of their submodules: whatever looks at the files of a commit
 * fetches them first. Throws SUBMODULES_REFUSED, REPOSITORY_TOO_LARGE, and retryable SUBMODULE_AWAY.
 */
export function withSubmodules(
  mirror: GitMirror,
  submodules: Submodules,
  { dir, url, signal }: { readonly dir: string; readonly url: string; readonly signal: AbortSignal },
): GitMirror {
  /** The last commit that has no submodules. */
  let without: CommitSha | undefined;
  /** The one that was made last: only that is on a branch, where Nix finds it. */
  let made: { readonly of: CommitSha; readonly whole: Whole } | undefined;

  /** Undefined: it has none. */
  async function wholeOf(sha: CommitSha): Promise<Whole | undefined> {
    if (made?.of === sha && (await isThere(made.whole.sha))) return made.whole;
    if (without === sha) return undefined;
    const found = (await mirror.inspect(sha)).submodules.length === 0 ? [] : await submodules.fetch(dir, url, sha);
    if (found.length === 0) {
      without = sha;
      return undefined;
    }
    const whole = await mirror.whole(
      sha,
      found.map((each) => ({ path: each.path, sha: each.sha })),
      submodules.dir,
      signal,
    );
    made = { of: sha, whole };
    return whole;
  }

  async function isThere(sha: CommitSha): Promise<boolean> {
    return await mirror.commit(sha).then(
      () => true,
      (error: unknown) => {
        if (isFloeError(error, 'COMMIT_NOT_FOUND')) return false;
        throw error;
      },
    );
  }

  const shaOf = async (sha: CommitSha): Promise<CommitSha> => (await wholeOf(sha))?.sha ?? sha;
  return {
    ...mirror,
    flakeUrl: async (sha) => (await wholeOf(sha))?.flakeUrl ?? (await mirror.flakeUrl(sha)),
    inspect: async (sha) => await mirror.inspect(await shaOf(sha)),
    flakeUrlWithout: async (sha, paths) => await mirror.flakeUrlWithout(await shaOf(sha), paths),
    flakeUrlOfAnother: async (sha, withFile) => await mirror.flakeUrlOfAnother(await shaOf(sha), withFile),
    tree: async (sha, ignored) => await mirror.tree(await shaOf(sha), ignored),
    selfMentions: async (sha) => await mirror.selfMentions(await shaOf(sha)),
    async changedNodes(from, to) {
      const before = await shaOf(from).catch((error: unknown) => {
        if (isFloeError(error)) return undefined;
        throw error;
      });
      // Last, so that the branch is at the commit that is evaluated.
      const after = await shaOf(to);
      return before === undefined ? 'unknown' : await mirror.changedNodes(before, after);
    },
  };
}
