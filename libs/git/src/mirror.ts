import { resolve } from 'node:path';
import { COMMIT_ADDRESS, TREE_ADDRESS, type CommitSha, type NodeChange } from '@floe/model';
import { isSentInClear, reveal, type Logger, type Secret, type SecretSource } from '@floe/runtime';
import type { SshLogin } from './git-transport.ts';
import { DEFAULT_REPOSITORY_LIMITS, type RepositoryLimits } from './limits.ts';
import { MirrorThread } from './mirror-thread.ts';
import type { BranchList, CommitInfo, FetchOutcome, FetchProgress, SignedParts, SubmoduleCommit, TreeReport } from './mirror-types.ts';
import type { PathChange } from './path-changes.ts';
import type { ThreadData } from './thread-messages.ts';
import { PROBE_BRANCH } from './probe-commit.ts';
import type { SelfMention } from './self-mentions.ts';
import { TREE_BRANCH } from './tree-commit.ts';
import { VARIANT_BRANCH } from './variant.ts';
import { WHOLE_BRANCH } from './whole-commit.ts';
import { flakeUrl, parseBranchName, parseRepositoryUrl } from './repository-url.ts';

export interface MirrorOptions {
  /** The mirror's own folder: created when missing, and wiped when it is damaged or of another repository. */
  readonly dir: string;
  /** `https://…` (or `http://…`) without credentials, or an SSH address where there is a login for it. */
  readonly url: string;
  readonly branch: string;
  /** The folder of the flake within the repository; undefined: the root. */
  readonly directory?: string | undefined;
  /** Sent as the password of `x-access-token`, which GitHub, GitLab and Forgejo accept. A function is called for each fetch. */
  readonly token?: Secret | SecretSource | undefined;
  /** Uses ssh for SSH addresses, which are refused without. */
  readonly ssh?: SshLogin | undefined;
  readonly logger: Logger;
  readonly limits?: RepositoryLimits | undefined;
  /** How long a call may go without progress, in ms, without the wait for its turn. Default: 2 minutes. */
  readonly silenceMs?: number | undefined;
  /** Called a few times a second during a fetch. */
  readonly onProgress?: ((progress: FetchProgress) => void) | undefined;
  /** Called at each fetch with the branch that the server's HEAD names, where it names one. */
  readonly onDefaultBranch?: ((name: string) => void) | undefined;
  /** Where the thread's code is, when it is not beside this file, as in a bundle. */
  readonly workerUrl?: URL | undefined;
}

/**
 * A bare mirror of one branch of a repository, from which Nix evaluates. A worker thread runs one call at a time. All calls throw
 * `FloeError` with a {@link GitErrorCode}.
 * One process should use a mirror at a time. Two cause no damage that the next fetch does not repair, because every file is
 * written atomically, but a fetch may then fail with `MIRROR_BROKEN`, or do its work twice.
 */
export interface GitMirror extends AsyncDisposable {
  /** Looks at the branch and fetches new commits. The argument is the last accepted commit. */
  fetch(accepted: CommitSha | undefined, signal?: AbortSignal): Promise<FetchOutcome>;
  /** Lists the branches whose names begin with `folder`; fetches nothing. */
  branches(folder: string, signal?: AbortSignal): Promise<BranchList>;
  /** Moves the mirror's branch to a commit that was fetched, also backwards or sideways. Nix only sees commits of that branch. */
  accept(sha: CommitSha): Promise<void>;
  commit(sha: CommitSha): Promise<CommitInfo>;
  /** The head of the branch as it was fetched last, accepted or not; undefined: never. */
  head(): Promise<CommitSha | undefined>;
  /** Whether `earlier` is in the history of a commit, or is that commit; 'unknown' when too many commits are between them. */
  contains(sha: CommitSha, earlier: CommitSha): Promise<boolean | 'unknown'>;
  /**
   * The paths that differ between two commits, sorted; `from` undefined: all paths, as added. 'unknown' when the mirror does not
   * have `from` any more (removed by a force-push), or when there are too many: callers only order hosts by them.
   */
  changedPaths(from: CommitSha | undefined, to: CommitSha): Promise<PathChange[] | 'unknown'>;
  /** The same with folders, and what is at each path before and after. */
  changedNodes(from: CommitSha, to: CommitSha): Promise<NodeChange[] | 'unknown'>;
  /** The commits that `to` has and `from` has not; 'unknown' when the mirror does not have `from` any more, 'too-many' above `most`. */
  newCommits(from: CommitSha, to: CommitSha, most: number): Promise<readonly CommitSha[] | 'unknown' | 'too-many'>;
  /** A commit as its signature was made of it. */
  signedParts(sha: CommitSha): Promise<SignedParts>;
  /** Inspects all files of a commit. Throws `REPOSITORY_TOO_LARGE` for a tree that must not be checked out. */
  inspect(sha: CommitSha): Promise<TreeReport>;
  /** The flake URL of a commit like `sha` in which these files cannot be read. */
  flakeUrlWithout(sha: CommitSha, paths: readonly string[]): Promise<string>;
  /**
   * The flake's address of the files of a commit that no pattern ignores, as a tree, and the commit that was made of them for Nix: the same one for two
   * commits with the same files.
   */
  tree(sha: CommitSha, ignored: readonly string[]): Promise<{ readonly sha: CommitSha; readonly flakeUrl: string }>;
  /**
   * A commit like `sha` with the files of its submodules, which are read from the git folder `from`, and the flake's address of these files, with the id
   * and the date of `sha`. Those at other paths stay empty folders. Throws SUBMODULES_REFUSED when one of their commits cannot be read, and
   * REPOSITORY_TOO_LARGE, before more is written, for what {@link inspect} would not admit.
   */
  whole(
    sha: CommitSha,
    submodules: readonly SubmoduleCommit[],
    from: string,
    signal?: AbortSignal,
  ): Promise<{ readonly sha: CommitSha; readonly flakeUrl: string }>;
  /** The flake URL of a commit with the same files, another id and another date; `withFile`: and one file more that nothing needs. */
  flakeUrlOfAnother(sha: CommitSha, withFile: boolean): Promise<string>;
  /** The lines of the commit's Nix files that look as if they used the flake itself. */
  selfMentions(sha: CommitSha): Promise<readonly SelfMention[]>;
  /** The flake URL of a commit on the mirror's branch: `git+file://<dir>?ref=<branch>&rev=<sha>`, with the flake's folder. */
  flakeUrl(sha: CommitSha): Promise<string>;
}

const DEFAULT_SILENCE_MS = 120_000;
const DEFAULT_TOKEN_SETTING = 'FLOE_REPOSITORY_TOKEN_FILE';
/** No branch has this name. */
const NO_BRANCH = '';

function startThread(options: Omit<MirrorOptions, 'branch'>, mirror: Pick<ThreadData, 'dir' | 'url' | 'branch'>): MirrorThread {
  const { token } = options;
  const tokenSetting = token !== undefined && 'setting' in token ? token.setting : DEFAULT_TOKEN_SETTING;
  return new MirrorThread({
    workerUrl: options.workerUrl ?? new URL('./mirror-worker.ts', import.meta.url),
    data: { ...mirror, tokenSetting, ssh: options.ssh, limits: options.limits ?? DEFAULT_REPOSITORY_LIMITS },
    logger: options.logger,
    silenceMs: options.silenceMs ?? DEFAULT_SILENCE_MS,
    onProgress: options.onProgress ?? (() => undefined),
    onDefaultBranch: options.onDefaultBranch ?? (() => undefined),
  });
}

/**
 * Asks the server which branch its HEAD names; fetches nothing, and does not use the folder. Throws `BRANCH_NOT_FOUND` when
 * the server names none that exists, as for an empty repository.
 */
export async function findDefaultBranch(options: Omit<MirrorOptions, 'branch'>, signal?: AbortSignal): Promise<string> {
  const { token } = options;
  await using thread = startThread(options, {
    dir: resolve(options.dir),
    url: parseRepositoryUrl(options.url, { hasSshLogin: options.ssh !== undefined }),
    branch: NO_BRANCH,
  });
  return await thread.call('defaultBranch', [token && (await reveal(token))], signal);
}

/** What runs the operations of a mirror. */
export type MirrorCalls = Pick<MirrorThread, 'call' | typeof Symbol.asyncDispose>;

/** The mirror whose operations `calls` runs. The settings were checked before. */
export function mirrorBy(
  calls: MirrorCalls,
  { dir, branch, directory, token }: Pick<MirrorOptions, 'dir' | 'branch' | 'directory' | 'token'>,
): GitMirror {
  return {
    fetch: async (accepted, signal) => await calls.call('fetch', [accepted, token && (await reveal(token))], signal),
    branches: async (folder, signal) => await calls.call('branches', [folder, token && (await reveal(token))], signal),
    accept: async (sha) => await calls.call('accept', [sha]),
    commit: async (sha) => await calls.call('commit', [sha]),
    head: async () => await calls.call('head', []),
    contains: async (sha, earlier) => await calls.call('contains', [sha, earlier]),
    changedPaths: async (from, to) => await calls.call('changedPaths', [from, to]),
    changedNodes: async (from, to) => await calls.call('changedNodes', [from, to]),
    newCommits: async (from, to, most) => await calls.call('newCommits', [from, to, most]),
    signedParts: async (sha) => await calls.call('signedParts', [sha]),
    inspect: async (sha) => await calls.call('inspect', [sha]),
    selfMentions: async (sha) => await calls.call('selfMentions', [sha]),
    flakeUrlWithout: async (sha, paths) => flakeUrl(dir, VARIANT_BRANCH, await calls.call('without', [sha, paths]), directory),
    flakeUrlOfAnother: async (sha, withFile) => flakeUrl(dir, PROBE_BRANCH, await calls.call('probeCommit', [sha, withFile]), directory),
    whole: async (sha, submodules, from, signal) => {
      const made = await calls.call('wholeCommit', [sha, submodules, from], signal);
      return { sha: made, flakeUrl: `${flakeUrl(dir, WHOLE_BRANCH, made, directory)}${COMMIT_ADDRESS}${sha}` };
    },
    tree: async (sha, ignored) => {
      const made = await calls.call('treeCommit', [sha, ignored]);
      return { sha: made, flakeUrl: `${flakeUrl(dir, TREE_BRANCH, made, directory)}${TREE_ADDRESS}` };
    },
    flakeUrl: async (sha) => await Promise.resolve(flakeUrl(dir, branch, sha, directory)),
    [Symbol.asyncDispose]: async () => await calls[Symbol.asyncDispose](),
  };
}

/** Opens a mirror. Checks the settings; the first call uses the folder and the server. */
export async function openMirror(options: MirrorOptions): Promise<GitMirror> {
  const dir = resolve(options.dir);
  const url = parseRepositoryUrl(options.url, { hasSshLogin: options.ssh !== undefined });
  const branch = parseBranchName(options.branch);
  if (options.token && isSentInClear(url)) {
    options.logger.warn('the repository token is sent without encryption: use an https:// address', { url });
  }
  return mirrorBy(startThread(options, { dir, url, branch }), { ...options, dir, branch });
}
