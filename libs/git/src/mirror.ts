import { resolve } from 'node:path';
import type { CommitSha } from '@floe/model';
import { isSentInClear, type Logger, type Secret } from '@floe/runtime';
import { MirrorThread } from './mirror-thread.ts';
import type { CommitInfo, FetchOutcome } from './mirror-types.ts';
import type { PathChange } from './path-changes.ts';
import { flakeUrl, parseBranchName, parseRepositoryUrl } from './repository-url.ts';

export interface MirrorOptions {
  /** The mirror's own folder: made when missing, and wiped when it is damaged or of another repository. */
  readonly dir: string;
  /** `https://…` (or `http://…`), without credentials. */
  readonly url: string;
  readonly branch: string;
  /** Sent as the password of `x-access-token`, which GitHub, GitLab and Forgejo take. Kept in memory only. */
  readonly token?: Secret | undefined;
  readonly logger: Logger;
  /** The limit of each call, in ms; the wait for its turn is not counted. Default: 2 minutes. */
  readonly timeoutMs?: number | undefined;
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
  /** The paths that differ between two commits, sorted; from undefined gives every path as added. */
  changedPaths(from: CommitSha | undefined, to: CommitSha): Promise<PathChange[]>;
  /** A file's text (a symbolic link's target) at a commit; undefined when there is no file at that path. */
  readFile(sha: CommitSha, path: string): Promise<string | undefined>;
  /** What Nix calls the commit, which must be on the mirror's branch: `git+file://<dir>?ref=<branch>&rev=<sha>`. */
  flakeUrl(sha: CommitSha): string;
}

const DEFAULT_TIMEOUT_MS = 120_000;

/** Opens a mirror. The settings are checked here; folder and server are touched by the first call. */
export async function openMirror(options: MirrorOptions): Promise<GitMirror> {
  const dir = resolve(options.dir);
  const url = parseRepositoryUrl(options.url);
  const branch = parseBranchName(options.branch);
  if (options.token && isSentInClear(url)) {
    options.logger.warn('the repository token is sent without encryption: use an https:// address', { url });
  }
  const thread = new MirrorThread({
    workerUrl: options.workerUrl ?? new URL('./mirror-worker.ts', import.meta.url),
    data: { dir, url, branch, token: options.token?.reveal() },
    logger: options.logger,
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
  });
  return {
    fetch: (accepted, signal) => thread.call('fetch', [accepted], signal),
    accept: (sha) => thread.call('accept', [sha]),
    commit: (sha) => thread.call('commit', [sha]),
    changedPaths: (from, to) => thread.call('changedPaths', [from, to]),
    readFile: (sha, path) => thread.call('readFile', [sha, path]),
    flakeUrl: (sha) => flakeUrl(dir, branch, sha),
    [Symbol.asyncDispose]: () => thread[Symbol.asyncDispose](),
  };
}
