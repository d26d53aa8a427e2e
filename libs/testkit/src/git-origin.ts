import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { execInTest } from '@floe/runtime';
import { createGitHttpHandler, ISOLATED_GIT_ENV } from './git-http-server.ts';

export interface GitOriginOptions {
  /** Folder of the repositories. Default: a new temporary folder, which is removed at the end. */
  readonly dir?: string;
  /** When set, requests must send it as the Basic password or user name. */
  readonly token?: string;
  /** With it the origin speaks TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Sees a request before git does, to answer it wrongly or not at all; returns false to pass it on. */
  readonly intercept?: (req: IncomingMessage, res: ServerResponse) => boolean;
}

/** A request that the origin has answered. */
export interface OriginRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

/** A git server over HTTP or HTTPS on 127.0.0.1. */
export interface GitOrigin extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, or with https. */
  readonly url: string;
  readonly dir: string;
  /** The requests so far, in the order of the answers. */
  readonly requests: readonly OriginRequest[];
  /** Creates the bare repository `<name>.git` with the default branch `main` and no commits. */
  repository(name: string): Promise<OriginRepository>;
}

export interface CommitOptions {
  /** Default: `main`. A missing branch is created from the tip of `main`, or as a root commit. */
  readonly branch?: string;
}

/** The new content of a path: a text, removed (null), or something other than a plain file. */
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
  /** Makes HEAD name this branch, which need not exist. */
  setDefaultBranch(name: string): Promise<void>;
  deleteBranch(name: string): Promise<void>;
  /** Runs git in the work clone, for what the other methods do not cover. Resolves to its output, trimmed. */
  git(...args: string[]): Promise<string>;
}

const NAME = 'Ada Admin';
const EMAIL = 'ada@example.org';
const COMMIT_ENV = {
  ...ISOLATED_GIT_ENV,
  GIT_AUTHOR_NAME: NAME,
  GIT_AUTHOR_EMAIL: EMAIL,
  GIT_COMMITTER_NAME: NAME,
  GIT_COMMITTER_EMAIL: EMAIL,
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
    ...(token !== undefined && { authorise: (given) => given?.password === token || given?.username === token }),
  });
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    // Recorded as it arrives: its client may have finished before the connection closes here.
    requests.push({
      method: req.method ?? '',
      path: req.url ?? '',
      get status() {
        return res.statusCode;
      },
    });
    if (!options.intercept?.(req, res)) handler(req, res);
  };
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const url = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${address.port}`;
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
  await runGit(at.dir, ['init', '--quiet', '--bare', '--initial-branch=main', bareDir]);
  const bare = (...args: string[]): Promise<string> => runGit(at.dir, ['--git-dir', bareDir, ...args]);
  /** The branch whose newest commit the work clone lacks. Most tests never read the clone, so it is updated on demand. */
  let behind: string | undefined;
  let isCloned = false;

  async function workClone(): Promise<void> {
    if (!isCloned) {
      await mkdir(at.workDir, { recursive: true });
      await runGit(at.workDir, ['clone', '--quiet', '--no-checkout', bareDir, '.']);
      isCloned = true;
    }
    if (behind === undefined) return;
    await runGit(at.workDir, ['fetch', '--quiet', '--prune', 'origin']);
    await runGit(at.workDir, ['checkout', '--quiet', '--force', '-B', behind, `origin/${behind}`]);
    behind = undefined;
  }

  async function record(files: Readonly<Record<string, OriginEntry>>, message: string, branch: string, isAmended: boolean): Promise<CommitSha> {
    const refs = new Map(
      (await bare('for-each-ref', '--format=%(refname) %(objectname)', 'refs/heads')).split('\n').map((line) => line.split(' ') as [string, string]),
    );
    const tip = refs.get(`refs/heads/${branch}`) ?? refs.get('refs/heads/main');
    const replaced = isAmended && tip !== undefined ? (await bare('rev-parse', `${tip}^@`, `${tip}^{tree}`)).split('\n') : undefined;
    const [parents, tree] = replaced === undefined ? [tip === undefined ? [] : [tip], undefined] : [replaced.slice(0, -1), replaced.at(-1)];
    const stream = fastImport({ branch, message, parents, tree, files });
    const options = ['--quiet', '--force', '--date-format=now'];
    const sha = await runGit(at.dir, ['--git-dir', bareDir, 'fast-import', ...options], stream);
    behind = branch;
    return sha as CommitSha; // Native git prints full commit ids.
  }

  return {
    url: `${at.url}/${at.name}.git`,
    bareDir,
    async git(...args) {
      await workClone();
      return await runGit(at.workDir, args);
    },
    commit: (files, message, { branch = 'main' } = {}) => record(files, message, branch, false),
    rewrite: (files, message, { branch = 'main' } = {}) => record(files, message, branch, true),
    async merge(branch, message) {
      behind = 'main';
      await workClone();
      await runGit(at.workDir, ['merge', '--quiet', '--no-ff', '-m', message, `origin/${branch}`]);
      await runGit(at.workDir, ['push', '--quiet', 'origin', 'HEAD:refs/heads/main']);
      return (await bare('rev-parse', 'refs/heads/main')) as CommitSha;
    },
    async setDefaultBranch(name) {
      await bare('symbolic-ref', 'HEAD', `refs/heads/${name}`);
    },
    async deleteBranch(name) {
      // Directly in the bare repository: git refuses to delete the branch of HEAD by a push.
      await bare('update-ref', '-d', `refs/heads/${name}`);
    },
  };
}

/** The input of `git fast-import` for one commit: one process instead of a dozen with an index and a work tree. */
function fastImport(commit: {
  readonly branch: string;
  readonly message: string;
  readonly parents: readonly string[];
  /** The tree to start from instead of the first parent's. */
  readonly tree: string | undefined;
  readonly files: Readonly<Record<string, OriginEntry>>;
}): string {
  const { branch, message, parents, tree, files } = commit;
  const data = (text: string): string => `data ${Buffer.byteLength(text)}\n${text}\n`;
  const entries = Object.entries(files).map(([path, entry]) => [JSON.stringify(path), entry] as const);
  const [first, ...others] = parents;
  return [
    ...(first === undefined ? [`reset refs/heads/${branch}\n`] : []),
    `commit refs/heads/${branch}\nmark :1\nauthor ${NAME} <${EMAIL}> now\ncommitter ${NAME} <${EMAIL}> now\n${data(`${message}\n`)}`,
    ...(first === undefined ? [] : [`from ${first}\n`]),
    ...others.map((parent) => `merge ${parent}\n`),
    ...(tree === undefined ? [] : [`M 040000 ${tree} ""\n`]),
    // Removals come first, so that a folder can become a file.
    ...entries.filter(([, entry]) => entry === null).map(([path]) => `D ${path}\n`),
    ...entries.map(([path, entry]) => {
      if (entry === null) return '';
      if (typeof entry === 'object' && 'submodule' in entry) return `M 160000 ${entry.submodule} ${path}\n`;
      const [mode, text] =
        typeof entry === 'string' ? ['100644', entry] : 'executable' in entry ? ['100755', entry.executable] : ['120000', entry.symlink];
      return `M ${mode} inline ${path}\n${data(text)}`;
    }),
    'get-mark :1\n',
  ].join('');
}

async function runGit(cwd: string, args: readonly string[], stdin = ''): Promise<string> {
  const result = await execInTest('git', args, { cwd, env: { ...process.env, ...COMMIT_ENV }, stdin });
  if (result.exitCode !== 0) throw new Error(`git ${args.join(' ')} failed: ${result.stderr.trim()}`);
  return result.stdout.trim();
}
