import { resolve } from 'node:path';
import type { CommitSha } from '@floe/model';
import { isSentInClear, reveal, type Logger, type Secret, type SecretSource } from '@floe/runtime';
import { DEFAULT_REPOSITORY_LIMITS, type RepositoryLimits } from './limits.ts';
import { MirrorThread } from './mirror-thread.ts';
import type { CommitInfo, FetchOutcome, FetchProgress, TreeReport } from './mirror-types.ts';
import type { PathChange } from './path-changes.ts';
import { VARIANT_BRANCH } from './variant.ts';
import { flakeUrl, parseBranchName, parseRepositoryUrl } from './repository-url.ts';

export interface MirrorOptions {
  /** The mirror's own folder: made when missing, and wiped when it is damaged or of another repository. */
  readonly dir: string;
  /** `https://…` (or `http://…`), without credentials. */
  readonly url: string;
  readonly branch: string;
  /** The folder of the repository that has the flake; undefined: its root. */
  readonly directory?: string | undefined;
  /** Sent as the password of `x-access-token`, which GitHub, GitLab and Forgejo take. A source is read for each fetch. */
  readonly token?: Secret | SecretSource | undefined;
  readonly logger: Logger;
  readonly limits?: RepositoryLimits | undefined;
  /** How long a call may show no progress, in ms; the wait for its turn is not counted. Default: 2 minutes. */
  readonly silenceMs?: number | undefined;
  /** Told a few times a second while a fetch goes on. */
  readonly onProgress?: ((progress: FetchProgress) => void) | undefined;
  /** Where the thread's code is when it does not lie beside this file, as after bundling. */
  readonly workerUrl?: URL | undefined;
}

/**
 * A bare mirror of one branch of a repository, for Nix to evaluate from. The work is done in a thread of its own, one
 * call at a time. All calls throw `FloeError` with a {@link GitErrorCode}.
 *
 * One process uses a mirror at a time. Two do it no harm that the next fetch does not mend, since every file appears
 * whole or not at all, but they disturb each other: a fetch can fail with `MIRROR_BROKEN`, or do its work twice.
 */
export interface GitMirror extends AsyncDisposable {
  /** Looks at the branch and fetches what is new, given the commit that was last accepted. */
  fetch(accepted: CommitSha | undefined, signal?: AbortSignal): Promise<FetchOutcome>;
  /** Moves the mirror's branch to a commit that was fetched, also backwards or sideways: Nix sees only what is on it. */
  accept(sha: CommitSha): Promise<void>;
  commit(sha: CommitSha): Promise<CommitInfo>;
  /**
   * The paths that differ between two commits, sorted; from undefined gives every path as added. Unknown when the mirror
   * no longer has `from` (a force-push took it away), or when they are too many: callers only order things by them.
   */
  changedPaths(from: CommitSha | undefined, to: CommitSha): Promise<PathChange[] | 'unknown'>;
  /** Looks at all files of a commit. Throws `REPOSITORY_TOO_LARGE` for a tree that must not be laid out as files. */
  inspect(sha: CommitSha): Promise<TreeReport>;
  /** What Nix calls a commit that is `sha` but for these files, which cannot be read there. */
  flakeUrlWithout(sha: CommitSha, paths: readonly string[]): Promise<string>;
  /** A file's text (a symbolic link's target) at a commit; undefined when there is no file at that path. */
  readFile(sha: CommitSha, path: string): Promise<string | undefined>;
  /** What Nix calls the commit, which must be on the mirror's branch: `git+file://<dir>?ref=<branch>&rev=<sha>`, and the folder of its flake. */
  flakeUrl(sha: CommitSha): string;
}

const DEFAULT_SILENCE_MS = 120_000;
const DEFAULT_TOKEN_SETTING = 'FLOE_REPOSITORY_TOKEN_FILE';

/** Opens a mirror. The settings are checked here; folder and server are touched by the first call. */
export async function openMirror(options: MirrorOptions): Promise<GitMirror> {
  const dir = resolve(options.dir);
  const url = parseRepositoryUrl(options.url);
  const branch = parseBranchName(options.branch);
  if (options.token && isSentInClear(url)) {
    options.logger.warn('the repository token is sent without encryption: use an https:// address', { url });
  }
  const { token } = options;
  const tokenSetting = token !== undefined && 'setting' in token ? token.setting : DEFAULT_TOKEN_SETTING;
  const thread = new MirrorThread({
    workerUrl: options.workerUrl ?? new URL('./mirror-worker.ts', import.meta.url),
    data: { dir, url, branch, tokenSetting, limits: options.limits ?? DEFAULT_REPOSITORY_LIMITS },
    logger: options.logger,
    silenceMs: options.silenceMs ?? DEFAULT_SILENCE_MS,
    onProgress: options.onProgress ?? (() => undefined),
  });
  return {
    fetch: async (accepted, signal) => {
      return await thread.call('fetch', [accepted, token && (await reveal(token))], signal);
    },
    accept: (sha) => thread.call('accept', [sha]),
    commit: (sha) => thread.call('commit', [sha]),
    changedPaths: (from, to) => thread.call('changedPaths', [from, to]),
    inspect: (sha) => thread.call('inspect', [sha]),
    flakeUrlWithout: async (sha, paths) => flakeUrl(dir, VARIANT_BRANCH, await thread.call('without', [sha, paths]), options.directory),
    readFile: (sha, path) => thread.call('readFile', [sha, path]),
    flakeUrl: (sha) => flakeUrl(dir, branch, sha, options.directory),
    [Symbol.asyncDispose]: () => thread[Symbol.asyncDispose](),
  };
}
