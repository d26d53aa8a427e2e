import type { CommitSha } from '@floe/model';
import { Secret, type Exec, type LogFields } from '@floe/runtime';
import { readAdvertisement, type Advertisement } from './advertisement.ts';
import { isFastForward, newCommits, type AncestryCommit } from './ancestry.ts';
import { parseCommit, signedParts, type RawCommit } from './commit.ts';
import { toCommitSha } from './commit-sha.ts';
import { gitError, hideToken, isTranslated, translateFolderError } from './errors.ts';
import type { GitTransport, SshLogin } from './git-transport.ts';
import { notGit } from './http-errors.ts';
import { UNPACKED_TREE_RATIO, type RepositoryLimits } from './limits.ts';
import { removeUnused, writingAll } from './loose-objects.ts';
import { openMirrorFolder } from './mirror-folder.ts';
import type { CommitInfo, FetchOutcome, FetchProgress, MirrorOperations } from './mirror-types.ts';
import { ObjectStore, type GitObject } from './object-store.ts';
import { hasObject, type CommitMakerDeps } from './object-writer.ts';
import { DamagedError } from './pack/damaged.ts';
import { diffNodes, diffTrees, TOO_MANY_CHANGES, type TreeEntry } from './path-changes.ts';
import { openTransport } from './open-transport.ts';
import { openPacks } from './packs.ts';
import { PacketError } from './pkt-line.ts';
import { incompleteTransfer, receivePack } from './receive-pack.ts';
import { TreeInspector } from './inspect-tree.ts';
import { TREE_BRANCH, writeTreeCommit } from './tree-commit.ts';
import { VARIANT_BRANCH, writeVariant } from './variant.ts';
import { WHOLE_BRANCH, writeWholeCommit } from './whole-commit.ts';
import { PROBE_BRANCH, writeProbeCommit } from './probe-commit.ts';
import { openRefs } from './refs.ts';
import { parseBranchName } from './repository-url.ts';
import { openRemakeNote } from './remake-note.ts';
import { findSelfMentions } from './self-mentions.ts';
import { shownText } from './text.ts';
import { parseExactTree, parseTree, type ExactEntry } from './tree.ts';
import { branchNotFound, noDefaultBranch } from './branch-errors.ts';

export interface LocalMirrorOptions {
  readonly dir: string;
  /** As returned by {@link parseRepositoryUrl}. */
  readonly url: string;
  readonly branch: string;
  /** The name of the token's setting, for messages. */
  readonly tokenSetting: string;
  readonly ssh: SshLogin | undefined;
  /** Starts ssh. */
  readonly exec: Exec;
  readonly limits: RepositoryLimits;
  /** Number of packs that may exist before they are replaced by one. Default: {@link MAX_PACKS}. */
  readonly maxPacks?: number | undefined;
  readonly warn: (message: string, fields: LogFields) => void;
  readonly onProgress: (progress: FetchProgress) => void;
  readonly onDefaultBranch: (name: string) => void;
  /** Called regularly during long work that is not a fetch. */
  readonly onAlive: () => void;
}

/** A mirror that works in the calling thread, one call at a time. Calls end early when their signal aborts. */
export type LocalMirror = {
  readonly [Name in keyof MirrorOperations]: (signal: AbortSignal, ...args: Parameters<MirrorOperations[Name]>) => ReturnType<MirrorOperations[Name]>;
};

/** The ref of the last head that was fetched completely: sent to the server as "we have this". */
const FETCHED_REF = 'refs/floe/fetched';
/** A ref that never exists: the server sends everything. */
const NO_REF = 'refs/floe/none';
/** The branches of the commits that Floe makes. */
const MADE_BRANCHES = [TREE_BRANCH, PROBE_BRANCH, VARIANT_BRANCH, WHOLE_BRANCH];
const LONGEST_NAME_SHOWN = 200;

/** Opens a mirror in this thread. Does no I/O before the first call. */
export function createLocalMirror(options: LocalMirrorOptions): LocalMirror {
  const { dir, url, branch, limits } = options;
  const folder = openMirrorFolder(dir, url, branch);
  const objects = new ObjectStore(dir, limits.objectBytes);
  const refs = openRefs(dir, folder.writeWhole);
  const inspector = new TreeInspector(
    { tree: readTree, peek: async (oid, count) => await objects.peek(oid, count), blob: readAny },
    limits.downloadBytes,
  );
  const remakes = openRemakeNote(dir, folder.writeWhole);
  const packs = openPacks(dir, options.maxPacks);
  let isPrepared = false;
  let isBroken = false;

  async function prepare(): Promise<void> {
    if (isPrepared) return;
    await folder.prepare();
    isPrepared = true;
  }

  /** Runs an operation on the local objects. Damage is recorded, and repaired by the next fetch. */
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
      throw gitError('MIRROR_BROKEN', `the mirror in ${dir} is damaged; the next fetch replaces it`, { data: { dir }, cause: error });
    }
  }

  async function readCommit(sha: CommitSha): Promise<RawCommit | undefined> {
    const object = await objects.read(sha);
    if (object === undefined) return undefined;
    if (object.type === 'commit') return parseCommit(sha, object.bytes);
    throw gitError('COMMIT_UNREADABLE', `${sha} on ${branch} is a ${object.type} and not a commit: push a commit to ${branch}`, { data: { sha } });
  }

  async function changesBetween<Change>(
    from: CommitSha | undefined,
    to: CommitSha,
    diff: (from: string | undefined, to: string, read: typeof readTree) => Promise<Change[] | typeof TOO_MANY_CHANGES>,
  ): Promise<Change[] | 'unknown'> {
    const target = (await knownCommit(to)).tree;
    // A recreated mirror does not contain the commits that a force-push removed.
    const start = from === undefined ? undefined : await readCommit(from);
    if (from !== undefined && start === undefined) return 'unknown';
    const changes = await diff(start?.tree, target, readTree);
    return changes === TOO_MANY_CHANGES ? 'unknown' : changes;
  }

  async function knownCommit(sha: CommitSha): Promise<RawCommit> {
    const commit = await readCommit(sha);
    if (commit) return commit;
    throw gitError('COMMIT_NOT_FOUND', `the mirror of ${url} has no commit ${sha}: it is fetched only as a part of the branch ${branch}`, {
      data: { sha, branch },
    });
  }

  async function ancestor(sha: CommitSha, signal: AbortSignal): Promise<AncestryCommit> {
    signal.throwIfAborted();
    options.onAlive();
    const commit = await readCommit(sha);
    // Only the fields that the walk needs, because it keeps all of them in memory.
    if (commit) return { parents: commit.parents, committedAt: commit.committedAt };
    throw new DamagedError(`the history lacks the commit ${sha}`); // otherwise it would look like an unknown commit
  }

  async function readTree(oid: string): Promise<TreeEntry[]> {
    return parseTree(await treeBytes(oid));
  }

  async function exactTree(oid: string): Promise<ExactEntry[]> {
    return parseExactTree(await treeBytes(oid));
  }

  async function treeBytes(oid: string): Promise<Buffer> {
    // A walk through many may take long.
    options.onAlive();
    const object = await objects.read(oid);
    if (object?.type !== 'tree') throw new DamagedError(`the tree ${oid} is missing`);
    return object.bytes;
  }

  async function readAny(oid: string): Promise<Buffer> {
    const object = await objects.read(oid);
    if (object === undefined) throw new DamagedError(`the object ${oid} is missing`);
    return object.bytes;
  }

  /** Removes what no made commit has of the objects beside the packs, once these are larger than `aboveBytes`. */
  async function dropUnused(signal: AbortSignal, aboveBytes?: number): Promise<void> {
    const made = await Promise.all(MADE_BRANCHES.map(async (name) => await refs.read(`refs/heads/${name}`)));
    const kept = made.filter((sha) => sha !== undefined);
    const onStep = (): void => {
      signal.throwIfAborted();
      options.onAlive();
    };
    await removeUnused(dir, objects, kept, { onStep, ...(aboveBytes !== undefined && { aboveBytes }) });
  }

  /** Makes a commit of one that was fetched, on a branch of its own: Nix finds commits by branch. What a failed call wrote is removed. */
  async function make(
    signal: AbortSignal,
    name: string,
    sha: CommitSha,
    write: (deps: CommitMakerDeps, commit: RawCommit) => Promise<CommitSha>,
  ): Promise<CommitSha> {
    return await reading(signal, async () => {
      const commit = await knownCommit(sha);
      const made = await writingAll(folder.writeWhole, async (writeWhole) => await write({ dir, tree: exactTree, writeWhole }, commit));
      await refs.move(`refs/heads/${name}`, made);
      return made;
    });
  }

  function open(token: string | undefined, signal: AbortSignal): GitTransport {
    const { tokenSetting, ssh, exec } = options;
    return openTransport({ url, token: token === undefined ? undefined : new Secret(token), tokenSetting, ssh, exec, signal });
  }

  async function discover(transport: GitTransport): Promise<{ head: CommitSha; advertisement: Advertisement }> {
    const advertisement = await advertised(transport);
    const { head, defaultBranch } = advertisement;
    if (defaultBranch !== undefined) options.onDefaultBranch(shownText(defaultBranch, LONGEST_NAME_SHOWN));
    if (head === undefined) throw branchNotFound(url, branch, advertisement);
    return { head: toCommitSha(head), advertisement };
  }

  async function advertised(transport: GitTransport, within?: string): Promise<Advertisement> {
    try {
      const advertisement = await readAdvertisement(await transport.discover(), url, branch, within);
      // Here, where an id that is none means that no git server answered.
      for (const { head } of [advertisement, ...advertisement.under.branches]) if (head !== undefined) toCommitSha(head);
      return advertisement;
    } catch (error) {
      if (isTranslated(error)) throw error;
      if (error instanceof PacketError && error.isCutShort) throw incompleteTransfer(url, error);
      throw notGit(url, error);
    }
  }

  async function download(transport: GitTransport, head: CommitSha, advertisement: Advertisement, signal: AbortSignal): Promise<void> {
    if ((await readCommit(head)) === undefined) {
      await receivePack({
        dir,
        url,
        branch,
        folder,
        limits,
        transport,
        head,
        haveRef: FETCHED_REF,
        advertisement,
        signal,
        onProgress: options.onProgress,
      });
      objects.close();
      if ((await readCommit(head)) === undefined) throw incompleteTransfer(url);
    }
    await refs.move(FETCHED_REF, head);
  }

  /**
   * When there are many packs and nothing else to do: downloads everything as one pack, then removes the others, including
   * objects that only a force-pushed history had, and those that Floe made of earlier commits.
   */
  async function tidy(transport: GitTransport, head: CommitSha, advertisement: Advertisement, signal: AbortSignal): Promise<void> {
    if (!(await packs.isWorn())) return;
    try {
      await dropUnused(signal);
      const { onProgress } = options;
      const pack = await receivePack({ dir, url, branch, folder, limits, transport, head, haveRef: NO_REF, advertisement, signal, onProgress });
      await packs.keepOnly(pack);
    } catch (error) {
      signal.throwIfAborted();
      options.warn('the packs of the mirror could not be merged; they are used as they are', { dir, error });
    } finally {
      objects.close();
    }
  }

  async function classify(accepted: CommitSha | undefined, head: CommitSha, signal: AbortSignal): Promise<FetchOutcome> {
    if (head === accepted) {
      await refs.move(`refs/heads/${branch}`, head);
      return { kind: 'unchanged', head };
    }
    // The complete history of the head is present, so an accepted commit that is missing is not part of it.
    if (accepted !== undefined && (await readCommit(accepted)) === undefined) return { kind: 'diverged', head, accepted };
    if (accepted !== undefined) {
      const isAhead = await isFastForward(accepted, head, async (sha) => await ancestor(sha, signal));
      if (isAhead !== true) return { kind: 'diverged', head, accepted, ...(isAhead === 'unknown' && { isUncertain: true }) };
    }
    await refs.move(`refs/heads/${branch}`, head);
    return { kind: 'advanced', head, from: accepted };
  }

  /** Recreates the mirror, at most once per head: a second download of the same head would be damaged again. */
  async function remake(head: CommitSha, cause: unknown): Promise<void> {
    if (await remakes.isNoted(head)) {
      throw gitError(
        'REPOSITORY_DAMAGED',
        `the repository at ${url} was downloaded again for ${head.slice(0, 12)} and still cannot be read: run "git fsck" there, and push a further commit`,
        { data: { url, head }, cause },
      );
    }
    options.warn('the mirror is damaged and is replaced', { dir, error: cause });
    objects.close();
    await folder.remake();
    await remakes.note(head);
    isBroken = false;
  }

  return {
    async fetch(signal, accepted, token) {
      const take = async (): Promise<FetchOutcome> => {
        await using transport = open(token, signal);
        // Asks the server first: a mirror is never deleted while no server can replace it.
        const { head, advertisement } = await discover(transport);
        if (isBroken) await remake(head, new Error('an earlier read failed'));
        try {
          await download(transport, head, advertisement, signal);
          const outcome = await classify(accepted, head, signal);
          if (outcome.kind === 'unchanged') await tidy(transport, head, advertisement, signal);
          return outcome;
        } catch (error) {
          if (isTranslated(error)) throw error;
          const folderError = translateFolderError(error, dir);
          if (folderError) throw folderError;
          await remake(head, error);
          await download(transport, head, advertisement, signal);
          return await classify(accepted, head, signal);
        }
      };
      try {
        return await reading(signal, take);
      } catch (error) {
        if (token !== undefined) hideToken(error, token);
        throw error;
      }
    },
    async branches(signal, within, token) {
      try {
        await using transport = open(token, signal);
        const { under } = await advertised(transport, within);
        return { isComplete: under.isComplete, branches: under.branches.map(({ name, head }) => ({ name, head: toCommitSha(head) })) };
      } catch (error) {
        if (token !== undefined) hideToken(error, token);
        throw error;
      }
    },
    async defaultBranch(signal, token) {
      try {
        await using transport = open(token, signal);
        const advertisement = await advertised(transport);
        const { defaultBranch } = advertisement;
        if (defaultBranch === undefined || defaultBranch.length > LONGEST_NAME_SHOWN) throw noDefaultBranch(url, advertisement);
        return parseBranchName(shownText(defaultBranch, LONGEST_NAME_SHOWN));
      } catch (error) {
        if (token !== undefined) hideToken(error, token);
        throw error;
      }
    },
    accept: (signal, sha) =>
      reading(signal, async () => {
        await knownCommit(sha);
        await refs.move(`refs/heads/${branch}`, sha);
      }),
    commit: (signal, sha) =>
      reading(signal, async (): Promise<CommitInfo> => {
        const { parents, authorName, authorEmail, committedAt, subject, problem } = await knownCommit(sha);
        return { sha, parents, authorName, authorEmail, committedAt, subject, problem };
      }),
    head: (signal) =>
      reading(signal, async () => {
        const head = await refs.read(FETCHED_REF);
        return head === undefined ? undefined : toCommitSha(head);
      }),
    contains: (signal, sha, earlier) =>
      reading(signal, async () => {
        for (const each of [sha, earlier]) await knownCommit(each);
        return await isFastForward(earlier, sha, async (each) => await ancestor(each, signal));
      }),
    changedPaths: (signal, from, to) => reading(signal, async () => await changesBetween(from, to, diffTrees)),
    changedNodes: (signal, from, to) => reading(signal, async () => await changesBetween(from, to, diffNodes)),
    newCommits: (signal, from, to, most) =>
      reading(signal, async () => {
        await knownCommit(to);
        if ((await readCommit(from)) === undefined) return 'unknown';
        const found = await newCommits(from, to, async (sha) => await ancestor(sha, signal));
        return found === 'unknown' || found.length > most ? 'too-many' : found;
      }),
    signedParts: (signal, sha) =>
      reading(signal, async () => {
        await knownCommit(sha);
        return signedParts((await objects.read(sha))?.bytes ?? Buffer.alloc(0));
      }),
    inspect: (signal, sha) => reading(signal, async () => await inspector.inspect((await knownCommit(sha)).tree)),
    selfMentions: (signal, sha) =>
      reading(signal, async () => await findSelfMentions({ tree: readTree, blob: readAny }, (await knownCommit(sha)).tree)),
    probeCommit: (signal, sha, withFile) => make(signal, PROBE_BRANCH, sha, async (deps, { tree }) => await writeProbeCommit(deps, tree, withFile)),
    wholeCommit: (signal, sha, submodules, from) =>
      make(signal, WHOLE_BRANCH, sha, async (deps, commit) => {
        // Those of earlier commits: whoever pushes decides how many bytes each new one has.
        await dropUnused(signal, limits.downloadBytes * UNPACKED_TREE_RATIO);
        const others = new ObjectStore(from, limits.objectBytes);
        const other = async (oid: string): Promise<GitObject | undefined> => {
          signal.throwIfAborted();
          options.onAlive();
          return await others.read(oid);
        };
        try {
          const has = async (oid: string): Promise<boolean> => await hasObject(dir, oid);
          const all = { ...deps, raw: readAny, has, other, maxDownloadBytes: limits.downloadBytes };
          return await writeWholeCommit(all, commit, submodules);
        } finally {
          others.close();
        }
      }),
    treeCommit: (signal, sha, ignored) => make(signal, TREE_BRANCH, sha, async (deps, { tree }) => await writeTreeCommit(deps, tree, ignored)),
    without: (signal, sha, paths) =>
      make(signal, VARIANT_BRANCH, sha, async (deps, commit) => await writeVariant({ ...deps, raw: readAny }, commit, paths)),
  };
}
