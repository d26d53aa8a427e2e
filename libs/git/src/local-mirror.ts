import * as git from 'isomorphic-git';
import type { CommitSha } from '@floe/model';
import type { LogFields, Secret } from '@floe/runtime';
import { compareHistory } from './ancestry.ts';
import { toCommitSha } from './commit-sha.ts';
import { codeOf, gitError, isCutShort, isTranslated, translateFolderError, translateRemoteError } from './errors.ts';
import { createGitHttp } from './git-http.ts';
import { incompleteTransfer, openMirrorFolder } from './mirror-folder.ts';
import type { CommitInfo, FetchOutcome, MirrorOperations } from './mirror-types.ts';
import { diffTrees } from './path-changes.ts';
import { withHead } from './unborn-head.ts';

export interface LocalMirrorOptions {
  readonly dir: string;
  /** As {@link parseRepositoryUrl} gives it. */
  readonly url: string;
  readonly branch: string;
  readonly token?: Secret | undefined;
  readonly warn: (message: string, fields: LogFields) => void;
}

/** A mirror that works in the calling thread, one call at a time; calls end early with their signal. */
export type LocalMirror = {
  readonly [Name in keyof MirrorOperations]: (signal: AbortSignal, ...args: Parameters<MirrorOperations[Name]>) => ReturnType<MirrorOperations[Name]>;
};

// The last head that came whole. What is told to the server as "we have this": a remote-tracking ref would not do,
// because isomorphic-git moves it before the objects are there.
const FETCHED_REF = 'refs/floe/fetched';
const BRANCHES_NAMED = 10;

/** Opens a mirror for use in this thread. Nothing is read or written before the first call. */
export function createLocalMirror(options: LocalMirrorOptions): LocalMirror {
  const { dir, url, branch, token } = options;
  const folder = openMirrorFolder(dir, url, branch);
  // Holds the packs and their indices: without it each call reads and hashes every pack again.
  let cache = {};
  let isPrepared = false;
  let isBroken = false;
  // Sent unasked once the server has taken it, which saves the round trip of being refused first.
  let provenHeaders: Record<string, string> = {};

  const local = (): { fs: typeof folder.fs; gitdir: string; cache: object } => ({ fs: folder.fs, gitdir: dir, cache });
  const credentials = { username: 'x-access-token', password: token?.reveal() ?? '' };

  async function prepare(): Promise<void> {
    if (isPrepared) return;
    await folder.prepare();
    isPrepared = true;
  }

  /** Runs an operation on what is already here. Damage is noted, and cured by the next fetch. */
  async function reading<Result>(signal: AbortSignal, operation: () => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    try {
      await prepare();
      return await operation();
    } catch (error) {
      if (isTranslated(error)) throw error;
      const folderError = translateFolderError(error, dir);
      if (folderError) throw folderError;
      isBroken = true;
      throw gitError('MIRROR_BROKEN', `the mirror in ${dir} is damaged; the next fetch makes it anew`, { data: { dir }, cause: error });
    }
  }

  async function readCommit(sha: CommitSha): Promise<CommitInfo | undefined> {
    try {
      const { commit } = await git.readCommit({ ...local(), oid: sha });
      return {
        sha,
        parents: commit.parent.map(toCommitSha),
        authorName: commit.author.name,
        authorEmail: commit.author.email,
        committedAt: commit.committer.timestamp * 1000,
        subject: commit.message.trimStart().split('\n', 1)[0]?.trimEnd() ?? '',
      };
    } catch (error) {
      if (codeOf(error) === 'NotFoundError') return undefined;
      throw error;
    }
  }

  async function knownCommit(sha: CommitSha): Promise<CommitInfo> {
    const commit = await readCommit(sha);
    if (commit) return commit;
    throw gitError('COMMIT_NOT_FOUND', `the mirror of ${url} has no commit ${sha}: it is fetched only as a part of the branch ${branch}`, {
      data: { sha, branch },
    });
  }

  async function ancestor(sha: CommitSha): Promise<CommitInfo> {
    const commit = await readCommit(sha);
    if (commit) return commit;
    throw new Error(`the history lacks the commit ${sha}`); // Damage, not an unknown commit.
  }

  async function rootOf(sha: CommitSha): Promise<string> {
    await knownCommit(sha);
    return (await git.readCommit({ ...local(), oid: sha })).commit.tree;
  }

  async function readTree(oid: string): Promise<git.TreeEntry[]> {
    return (await git.readTree({ ...local(), oid })).tree;
  }

  async function moveRef(ref: string, sha: CommitSha): Promise<void> {
    const current = await git.resolveRef({ ...local(), ref }).catch(() => undefined);
    if (current !== sha) await git.writeRef({ ...local(), ref, value: sha, force: true });
  }

  /** The branch's head on the server, and a client that fetches on from there. */
  async function discover(signal: AbortSignal): Promise<{ head: CommitSha; remote: RemoteOptions }> {
    const remote: RemoteOptions = {
      http: createGitHttp({ url, signal }),
      url,
      headers: { ...provenHeaders },
      ...(token && {
        onAuth: () => credentials,
        onAuthSuccess: () => {
          const basic = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64');
          provenHeaders = { authorization: `Basic ${basic}` };
        },
        onAuthFailure: () => ({ cancel: true }),
      }),
    };
    try {
      const refs = await git.listServerRefs({ ...remote, protocolVersion: 1, prefix: 'refs/heads/' });
      const heads = new Map(refs.map((ref) => [ref.ref.slice('refs/heads/'.length), ref.oid]));
      const head = heads.get(branch);
      if (head === undefined) throw branchNotFound(url, branch, [...heads.keys()]);
      return { head: toCommitSha(head), remote };
    } catch (error) {
      provenHeaders = {};
      if (isTranslated(error)) throw error;
      throw (
        translateRemoteError(error, url, token !== undefined) ??
        gitError('REPOSITORY_UNREACHABLE', `${url} answered in a way that is not understood`, { data: { url }, cause: error })
      );
    }
  }

  async function download(head: CommitSha, remote: RemoteOptions): Promise<void> {
    if ((await readCommit(head)) === undefined) {
      const refs = { ref: FETCHED_REF, remote: 'origin', remoteRef: `refs/heads/${branch}` };
      await git
        .fetch({ ...local(), ...remote, http: withHead(remote.http, head), ...refs, singleBranch: true, tags: false })
        .catch((error: unknown) => {
          // The server spoke git when it listed its branches: what cannot be read after that was cut short.
          throw isCutShort(error) ? incompleteTransfer(url) : error;
        });
      if ((await readCommit(head)) === undefined) throw incompleteTransfer(url);
    }
    await moveRef(FETCHED_REF, head);
  }

  async function classify(accepted: CommitSha | undefined, head: CommitSha): Promise<FetchOutcome> {
    if (head === accepted) {
      await moveRef(`refs/heads/${branch}`, head);
      return { kind: 'unchanged', head };
    }
    // The head's history is here whole, so an accepted commit that is not here is not part of it.
    if (accepted !== undefined && (await readCommit(accepted)) === undefined) return { kind: 'diverged', head, accepted };
    const { isFastForward, count } = await compareHistory(accepted, head, ancestor);
    if (accepted !== undefined && !isFastForward) return { kind: 'diverged', head, accepted };
    await moveRef(`refs/heads/${branch}`, head);
    return { kind: 'advanced', head, from: accepted, count };
  }

  async function remake(cause: unknown): Promise<void> {
    options.warn('the mirror is damaged and is made anew', { dir, error: cause });
    cache = {};
    await folder.remake();
    isBroken = false;
  }

  return {
    async fetch(signal, accepted) {
      const take = async (): Promise<FetchOutcome> => {
        // The server is asked first: a mirror is never thrown away while there is nowhere to get another from.
        const { head, remote } = await discover(signal);
        if (isBroken) await remake(new Error('an earlier read failed'));
        try {
          await download(head, remote);
          return await classify(accepted, head);
        } catch (error) {
          if (isTranslated(error)) throw error;
          const known = translateRemoteError(error, url, token !== undefined) ?? translateFolderError(error, dir);
          if (known) throw known;
          await remake(error);
          await download(head, remote);
          return await classify(accepted, head);
        }
      };
      return reading(signal, take);
    },
    accept: (signal, sha) =>
      reading(signal, async () => {
        await knownCommit(sha);
        await moveRef(`refs/heads/${branch}`, sha);
      }),
    commit: (signal, sha) => reading(signal, () => knownCommit(sha)),
    changedPaths: (signal, from, to) =>
      reading(signal, async () => {
        return diffTrees(from === undefined ? undefined : await rootOf(from), await rootOf(to), readTree);
      }),
    readFile: (signal, sha, path) =>
      reading(signal, async () => {
        await knownCommit(sha);
        try {
          const { blob } = await git.readBlob({ ...local(), oid: sha, filepath: path });
          return Buffer.from(blob).toString('utf8');
        } catch (error) {
          const code = codeOf(error);
          // NotFoundError: no such path. ObjectTypeError: a folder. A missing object reads as no such path too.
          if (code === 'NotFoundError' || code === 'ObjectTypeError') return undefined;
          throw error;
        }
      }),
  };
}

type RemoteOptions = Pick<Parameters<typeof git.listServerRefs>[0], 'http' | 'url' | 'onAuth' | 'onAuthSuccess' | 'onAuthFailure'> & {
  readonly headers: Record<string, string>;
};

function branchNotFound(url: string, branch: string, branches: readonly string[]): Error {
  if (branches.length === 0) {
    return gitError('BRANCH_NOT_FOUND', `${url} is empty: push a first commit to ${branch}`, { data: { url, branch, branches: '' } });
  }
  const named = branches.toSorted().slice(0, BRANCHES_NAMED).join(', ');
  const more = branches.length > BRANCHES_NAMED ? ` and ${branches.length - BRANCHES_NAMED} more` : '';
  return gitError('BRANCH_NOT_FOUND', `${url} has no branch ${branch}: set FLOE_REPOSITORY_BRANCH to one that it has (${named}${more})`, {
    data: { url, branch, branches: named },
  });
}
