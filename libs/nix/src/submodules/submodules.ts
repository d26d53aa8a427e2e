import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { storableText, type CommitSha } from '@floe/model';
import { FloeError, isFloeError, type Exec, type ExecResult, type Logger } from '@floe/runtime';
import { accessOf, belongingsFor, type InputAccess } from '../input-access.ts';
import { remoteOf } from '../input-remote.ts';
import type { Belongings, Sandbox } from '../sandbox.ts';
import { MAX_DEPTH, MAX_SUBMODULES, readSubmodules, refused, type Submodule } from './submodule-list.ts';

export interface SubmodulesDeps {
  readonly exec: Exec;
  readonly logger: Logger;
  readonly sandbox: Sandbox;
  readonly inputAccess: readonly InputAccess[];
  /** The folder of what was fetched. It may be removed at any time, and is made again. */
  readonly dir: string;
  /** Of one download, and of {@link dir} four times that. */
  readonly maxBytes: number;
  /** Of git: few bytes of a pack may be objects of any size, and git holds each in memory. */
  readonly maxMemoryBytes: number;
  /** How long a server may be silent. */
  readonly silenceMs: number;
  readonly signal: AbortSignal;
}

/** Fetches submodules by the git program, in the sandbox. One call at a time. */
export interface Submodules {
  /** The git folder with what {@link Submodules.fetch} fetched. */
  readonly dir: string;
  /**
   * Fetches the submodules of a commit, and theirs, by their paths from the root. `gitDir`: readable in the sandbox. Throws SUBMODULES_REFUSED, and
   * retryable SUBMODULE_AWAY.
   */
  fetch(gitDir: string, url: string, sha: CommitSha): Promise<readonly Submodule[]>;
}

const GITMODULES = '.gitmodules';
const MAX_GITMODULES_BYTES = 64 * 1024;
/** Of `git ls-tree`: half a million files. */
const MAX_LIST_BYTES = 64 * 1024 ** 2;
const READ_TIMEOUT_MS = 60_000;
const FETCH_TIMEOUT_MS = 60 * 60_000;
/** Of `ulimit -f`, in bytes. */
const BLOCK_BYTES = 512;
const MAX_FOLDER_RATIO = 4;
/** Nothing of a repository is run, and nothing is done beside what is asked. */
const SETTINGS = ['core.hooksPath=/dev/null', 'gc.auto=0', 'maintenance.auto=false', 'fetch.unpackLimit=1'];
/** Of a pack git maps that much at once: otherwise, where no control group counts, the packs themselves would pass for memory. */
const MAPPED = ['core.packedGitWindowSize=32m', 'core.packedGitLimit=256m'];
const NOTHING: Belongings = { files: {}, env: () => ({}), settings: () => [], hidden: [] };

interface Limits {
  readonly timeoutMs: number;
  readonly maxStdoutBytes?: number;
}

export function createSubmodules(deps: SubmodulesDeps): Submodules {
  const { dir, maxBytes, maxMemoryBytes, signal } = deps;
  let last: Promise<unknown> = Promise.resolve();
  let isReady = false;

  /** `of`: what it reads, for the message. Throws SUBMODULES_REFUSED when that takes more memory than there is. */
  async function git(of: string, args: readonly string[], limits: Limits, belongings = NOTHING): Promise<ExecResult> {
    const settings = [...SETTINGS, ...MAPPED].flatMap((setting) => ['-c', setting]);
    const command = ['-c', 'ulimit -f "$0" && exec "$@"', String(Math.ceil(maxBytes / BLOCK_BYTES)), 'git', ...settings, ...args];
    await using launch = await deps.sandbox.prepareWith('sh', command, { ...belongings, writable: dir });
    // It counts before the settings: with a login no redirect may lead to where everybody can read.
    const protocols = belongings === NOTHING ? 'https:http:ssh' : 'https:ssh';
    const env = { ...launch.env, GIT_ALLOW_PROTOCOL: protocols, GIT_CONFIG_NOSYSTEM: '1' };
    const result = await deps.exec(launch.file, launch.args, { env, signal, maxMemoryBytes, ...limits });
    if (result.end !== 'out-of-memory') return result;
    throw refused(
      `git needs more than ${Math.round(maxMemoryBytes / 1024 ** 2)} MiB of memory to read ${of}: take the large file out of it. The limit grows with FLOE_REPOSITORY_MAX_MIB and FLOE_REPOSITORY_MAX_FILE_MIB`,
    );
  }

  /** Undefined: it is more than that. */
  async function read(of: string, args: readonly string[], maxStdoutBytes: number): Promise<string | undefined> {
    const result = await git(of, args, { timeoutMs: READ_TIMEOUT_MS, maxStdoutBytes });
    if (result.end === 'too-much-output') return undefined;
    if (!isOk(result)) throw away('the submodules of the commit cannot be read by git');
    return result.stdout;
  }

  async function list(of: string, gitDir: string, url: string, sha: CommitSha): Promise<readonly Submodule[]> {
    const top = await read(of, ['-C', gitDir, 'ls-tree', '-z', '--full-tree', sha, GITMODULES], MAX_GITMODULES_BYTES);
    if (top === '') return [];
    if (!/^100(?:644|755|664) blob /.test(top ?? '')) throw refused(`${GITMODULES} is no file`);
    const config = await read(of, ['-C', gitDir, 'config', '--blob', `${sha}:${GITMODULES}`, '-z', '--list'], MAX_GITMODULES_BYTES).catch(
      (error: unknown) => {
        throw signal.aborted || isFloeError(error, 'SUBMODULES_REFUSED') ? error : refused(`${GITMODULES} cannot be read by git`);
      },
    );
    if (config === undefined) throw refused(`${GITMODULES} is larger than ${MAX_GITMODULES_BYTES / 1024} KiB`);
    const tree = await read(of, ['-C', gitDir, 'ls-tree', '-r', '-z', '--full-tree', sha], MAX_LIST_BYTES);
    if (tree === undefined) throw refused(`the list of files beside ${GITMODULES} is too long`);
    return readSubmodules(tree, config, url);
  }

  async function has(of: string, sha: CommitSha): Promise<boolean> {
    return isOk(await git(of, ['-C', dir, 'cat-file', '-e', `${sha}^{commit}`], { timeoutMs: READ_TIMEOUT_MS }));
  }

  async function fetchOne({ url, sha }: Submodule, path: string): Promise<void> {
    const from = nameOf(path, url);
    if (await has(from, sha)) return;
    deps.logger.info('a submodule is fetched', { submodule: storableText(path), commit: sha });
    const remote = remoteOf({ type: 'git', url });
    const access = accessOf(remote, deps.inputAccess);
    const belongings = remote === undefined || access === undefined ? NOTHING : await belongingsFor(remote, access);
    const seconds = Math.max(1, Math.round(deps.silenceMs / 1_000));
    const slow = ['-c', 'http.lowSpeedLimit=1024', '-c', `http.lowSpeedTime=${seconds}`];
    const quiet = ['--quiet', '--no-tags', '--no-recurse-submodules', '--no-write-fetch-head', '--no-auto-gc'];
    const fetch = async (...what: readonly string[]): Promise<boolean> =>
      isOk(await git(from, [...slow, '-C', dir, 'fetch', ...quiet, ...what], { timeoutMs: FETCH_TIMEOUT_MS }, belongings));
    let isThere = false;
    let isTooLarge = false;
    await removeRests();
    try {
      // A server may refuse a commit by its id: then all branches and tags are asked for.
      isThere =
        (await fetch('--depth=1', '--', url, sha)) || (await fetch('--', url, '+refs/heads/*:refs/floe/heads/*', '+refs/tags/*:refs/floe/tags/*'));
    } finally {
      isTooLarge = await removeRests();
    }
    signal.throwIfAborted();
    if (isTooLarge) throw refused(`${from} is larger than ${Math.round(maxBytes / 1024 ** 2)} MiB, the limit of FLOE_REPOSITORY_MAX_MIB`);
    const login = access === undefined ? '. If it is private, give the server a token or a key for its git host (FLOE_INPUTS_FILE)' : '';
    if (!isThere) throw away(`${from} cannot be fetched${login}; Floe tries again`);
    if (!(await has(from, sha))) throw away(`${from} has no branch or tag with the commit ${sha.slice(0, 12)}: push it there; Floe tries again`);
  }

  /** Removes what is left of a download that was ended, and the lock that it held. Resolves to whether it ended at its limit. */
  async function removeRests(): Promise<boolean> {
    await rm(join(dir, 'shallow.lock'), { force: true });
    const folder = join(dir, 'objects/pack');
    const rests = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith('tmp_')).map((name) => join(folder, name));
    const sizes = await Promise.all(rests.map(async (rest) => (await stat(rest)).size));
    for (const rest of rests) await rm(rest, { force: true });
    return sizes.some((size) => size >= maxBytes - BLOCK_BYTES);
  }

  async function prepare(): Promise<void> {
    if (isReady && (await folderBytes(dir)) <= MAX_FOLDER_RATIO * maxBytes) return;
    if ((await folderBytes(dir)) > MAX_FOLDER_RATIO * maxBytes) await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const made = await git(dir, ['init', '--quiet', '--bare', '--template=', dir], { timeoutMs: READ_TIMEOUT_MS });
    if (!isOk(made)) throw away(`git cannot use ${dir}: ${made.stderr.trim()}`);
    isReady = true;
  }

  async function fetchAll(gitDir: string, url: string, sha: CommitSha): Promise<readonly Submodule[]> {
    await prepare();
    const found: Submodule[] = [];
    const queue = (await list('the commit', gitDir, url, sha)).map((submodule) => ({ ...submodule, depth: 1 }));
    for (const { depth, ...submodule } of queue) {
      if (queue.length > MAX_SUBMODULES) throw refused(`there are more than ${MAX_SUBMODULES} submodules`);
      if (depth > MAX_DEPTH) throw refused(`there are submodules in more than ${MAX_DEPTH} submodules, such as ${storableText(submodule.path)}`);
      await fetchOne(submodule, submodule.path);
      found.push(submodule);
      const below = await list(nameOf(submodule.path, submodule.url), dir, submodule.url, submodule.sha);
      queue.push(...below.map((each) => ({ ...each, path: `${submodule.path}/${each.path}`, depth: depth + 1 })));
    }
    return found;
  }

  return {
    dir,
    async fetch(gitDir, url, sha) {
      const fetched = last.then(async () => await fetchAll(gitDir, url, sha));
      last = fetched.catch(() => undefined);
      return await fetched;
    },
  };
}

function nameOf(path: string, url: string): string {
  return `the submodule ${storableText(path)} (${storableText(url)})`;
}

function isOk({ end, exitCode }: ExecResult): boolean {
  return end === 'exited' && exitCode === 0;
}

function away(message: string): FloeError {
  return new FloeError('SUBMODULE_AWAY', message, { retryable: true });
}

async function folderBytes(dir: string): Promise<number> {
  const folder = join(dir, 'objects/pack');
  const names = await readdir(folder).catch(() => []);
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}
