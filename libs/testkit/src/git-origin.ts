import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { execInTest } from '@floe/runtime';
import { createGitHttpHandler, ISOLATED_GIT_ENV, type GitHttpHandlerOptions } from './git-http-server.ts';

export interface GitOriginOptions {
  /** Where the repositories lie. Default: a new temporary folder, removed at the end. */
  readonly dir?: string;
  /** When set, requests need it as the Basic password or user name. */
  readonly token?: string;
  readonly onPush?: GitHttpHandlerOptions['onPush'];
  /** Takes a request before git sees it, to answer wrongly or not at all; returns false to leave it to git. */
  readonly intercept?: (req: IncomingMessage, res: ServerResponse) => boolean;
}

/** One request that the origin has answered. */
export interface OriginRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

/** A git server over HTTP on 127.0.0.1. */
export interface GitOrigin extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  readonly dir: string;
  /** What was asked so far, in the order of the answers. */
  readonly requests: readonly OriginRequest[];
  /** Makes the bare repository `<name>.git` with the default branch `main` and no commits. */
  repository(name: string): Promise<OriginRepository>;
}

export interface CommitOptions {
  /** Default `main`; made from the tip of `main`, or as a root commit, when there is none. */
  readonly branch?: string;
  /** Push although the branch would lose commits. */
  readonly force?: boolean;
}

/** What a path becomes: a file's text, gone (null), or something other than a plain file. */
export type OriginEntry = string | null | { readonly symlink: string } | { readonly executable: string } | { readonly submodule: CommitSha };

/** A repository of a {@link GitOrigin}, written to by native git over the file system. */
export interface OriginRepository {
  readonly url: string;
  readonly bareDir: string;
  /** Commits these changes on top of the branch. A path of null is removed, also when it is a folder. */
  commit(files: Readonly<Record<string, OriginEntry>>, message: string, options?: CommitOptions): Promise<CommitSha>;
  /** Replaces the branch's last commit (a force-push). */
  rewrite(files: Readonly<Record<string, OriginEntry>>, message: string, options?: CommitOptions): Promise<CommitSha>;
  /** Merges `branch` into `main` with a merge commit. */
  merge(branch: string, message: string): Promise<CommitSha>;
  deleteBranch(name: string): Promise<void>;
  /** Runs git in the work clone; for what the other methods do not cover. Returns its output, trimmed. */
  git(...args: string[]): Promise<string>;
}

const COMMIT_ENV = {
  ...ISOLATED_GIT_ENV,
  GIT_AUTHOR_NAME: 'Ada Admin',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada Admin',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
} as const;

/** Starts a git server with no repositories. */
export async function startGitOrigin(options: GitOriginOptions = {}): Promise<GitOrigin> {
  const temporary = await mkdtemp(join(tmpdir(), 'floe-origin-'));
  const dir = options.dir ?? join(temporary, 'repositories');
  await mkdir(dir, { recursive: true });
  const requests: OriginRequest[] = [];
  const { token } = options;
  const handler = createGitHttpHandler({
    projectRoot: dir,
    ...(options.onPush && { onPush: options.onPush }),
    ...(token !== undefined && { authorise: (given) => given?.password === token || given?.username === token }),
  });
  const server = createServer((req, res) => {
    // Noted as it comes: its client may be done with the answer before it is closed here.
    requests.push({
      method: req.method ?? '',
      path: req.url ?? '',
      get status() {
        return res.statusCode;
      },
    });
    if (!options.intercept?.(req, res)) handler(req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const url = `http://127.0.0.1:${address.port}`;
  return {
    url,
    dir,
    requests,
    repository: (name) => createRepository({ name, dir, url, workDir: join(temporary, 'work', name) }),
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await handler.settled();
      await rm(temporary, { recursive: true, force: true });
    },
  };
}

async function createRepository(at: {
  readonly name: string;
  readonly dir: string;
  readonly url: string;
  readonly workDir: string;
}): Promise<OriginRepository> {
  const bareDir = join(at.dir, `${at.name}.git`);
  await mkdir(at.workDir, { recursive: true });
  await runGit(at.dir, ['init', '--quiet', '--bare', '--initial-branch=main', bareDir]);
  await runGit(at.workDir, ['clone', '--quiet', bareDir, '.']);
  const git = (...args: string[]): Promise<string> => runGit(at.workDir, args);

  async function checkOut(branch: string): Promise<void> {
    await git('fetch', '--quiet', '--prune', 'origin');
    const branches = (await git('for-each-ref', '--format=%(refname:lstrip=3)', 'refs/remotes/origin')).split('\n');
    const start = [branch, 'main'].find((name) => branches.includes(name));
    if (start === undefined) await git('symbolic-ref', 'HEAD', `refs/heads/${branch}`);
    else await git('checkout', '--quiet', '--force', '-B', branch, `origin/${start}`);
  }

  async function record(files: Readonly<Record<string, OriginEntry>>, options: CommitOptions, commitArgs: readonly string[]): Promise<CommitSha> {
    const branch = options.branch ?? 'main';
    await checkOut(branch);
    await stage(git, at.workDir, files);
    await git('commit', '--quiet', '--allow-empty', ...commitArgs);
    await git('push', '--quiet', ...(options.force ? ['--force'] : []), 'origin', `HEAD:refs/heads/${branch}`);
    return headOf(git);
  }

  return {
    url: `${at.url}/${at.name}.git`,
    bareDir,
    git,
    commit: (files, message, options = {}) => record(files, options, ['-m', message]),
    rewrite: (files, message, options = {}) => record(files, { ...options, force: true }, ['--amend', '-m', message]),
    async merge(branch, message) {
      await checkOut('main');
      await git('merge', '--quiet', '--no-ff', '-m', message, `origin/${branch}`);
      await git('push', '--quiet', 'origin', 'HEAD:refs/heads/main');
      return headOf(git);
    },
    async deleteBranch(name) {
      // Straight in the bare repository: git refuses to delete the branch that HEAD names by a push.
      await git('--git-dir', bareDir, 'update-ref', '-d', `refs/heads/${name}`);
    },
  };
}

type Git = (...args: string[]) => Promise<string>;

/** Puts the entries into the work clone and the index. Removals come first, so that a folder can become a file. */
async function stage(git: Git, workDir: string, files: Readonly<Record<string, OriginEntry>>): Promise<void> {
  const entries = Object.entries(files);
  for (const [path, entry] of entries) {
    if (entry === null) await git('rm', '-r', '--quiet', '--force', '--', path);
  }
  for (const [path, entry] of entries) {
    if (entry === null) continue;
    if (typeof entry === 'object' && 'submodule' in entry) {
      await git('update-index', '--add', '--cacheinfo', `160000,${entry.submodule},${path}`);
      continue;
    }
    const text = typeof entry === 'string' ? entry : 'executable' in entry ? entry.executable : entry.symlink;
    const mode = typeof entry === 'string' ? '100644' : 'executable' in entry ? '100755' : '120000';
    const file = join(workDir, '.git', 'floe-entry');
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    const oid = await git('hash-object', '-w', '--no-filters', file);
    await git('update-index', '--add', '--replace', '--cacheinfo', `${mode},${oid},${path}`);
  }
}

async function headOf(git: Git): Promise<CommitSha> {
  return (await git('rev-parse', 'HEAD')) as CommitSha; // Native git prints full commit ids.
}

async function runGit(cwd: string, args: readonly string[]): Promise<string> {
  const result = await execInTest('git', args, { cwd, env: { ...process.env, ...COMMIT_ENV } });
  if (result.exitCode !== 0) throw new Error(`git ${args.join(' ')} failed: ${result.stderr.trim()}`);
  return result.stdout.trim();
}
