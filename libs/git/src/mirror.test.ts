import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { execInTest, createLogger, Secret, silentLogger, type Logger } from '@floe/runtime';
import { startGitOrigin, type GitOrigin, type GitOriginOptions, type OriginRepository } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { findDefaultBranch, openMirror, type GitMirror, type MirrorOptions } from './index.ts';
import { mirrorHere } from './test/mirror-here.ts';

// Each test starts threads, servers and native git, which is slow on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const cleanups: (() => PromiseLike<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function temporaryFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'floe-mirror-'));
  cleanups.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function origin(options?: GitOriginOptions): Promise<GitOrigin> {
  const started = await startGitOrigin(options);
  cleanups.push(() => started[Symbol.asyncDispose]());
  return started;
}

async function mirrorOf(url: string, options: Partial<MirrorOptions> = {}): Promise<GitMirror & { readonly dir: string }> {
  const dir = options.dir ?? join(await temporaryFolder(), 'mirror');
  return mirrorHere({ dir, url, branch: 'main', logger: silentLogger, ...options });
}

/** For tests of the thread itself. */
async function mirrorInThread(url: string, options: Partial<MirrorOptions> = {}): Promise<GitMirror & { readonly dir: string }> {
  const dir = options.dir ?? join(await temporaryFolder(), 'mirror');
  const mirror = await openMirror({ dir, url, branch: 'main', logger: silentLogger, ...options });
  cleanups.push(() => mirror[Symbol.asyncDispose]());
  return Object.assign(mirror, { dir });
}

async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string; retryable: boolean }> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Error) || !('code' in error) || !('retryable' in error)) throw new Error('no failure of ours', { cause: error });
  return { code: String(error.code), message: error.message, retryable: error.retryable === true };
}

/** Native git's view of the mirror. */
async function nativeGit(dir: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };
  const result = await execInTest('git', ['--git-dir', dir, ...args], { env });
  return result.exitCode === 0 ? result.stdout.trim() : `failed: ${result.stderr}`;
}

function memoryLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  return { lines, logger: createLogger({ level: 'debug', write: (line) => lines.push(line) }) };
}

describe('fetch', () => {
  it('clones, then reports unchanged after one request, then advances by several commits', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const first = await repository.commit({ 'flake.nix': '{ }\n' }, 'first');
    const mirror = await mirrorInThread(repository.url);
    expect(await mirror.fetch(undefined)).toEqual({ kind: 'advanced', head: first, from: undefined });

    const before = server.requests.length;
    expect(await mirror.fetch(first)).toEqual({ kind: 'unchanged', head: first });
    expect(server.requests.slice(before).map((request) => request.method)).toEqual(['GET']);

    await repository.commit({ a: '1' }, 'second');
    await repository.commit({ a: '2' }, 'third');
    const fourth = await repository.commit({ a: '3' }, 'fourth');
    expect(await mirror.fetch(first)).toEqual({ kind: 'advanced', head: fourth, from: first });
    expect(await nativeGit(mirror.dir, 'rev-parse', 'refs/heads/main')).toBe(fourth);
    expect(await nativeGit(mirror.dir, 'fsck', '--full', '--strict')).not.toMatch(/failed|error|missing/);
    expect(await nativeGit(mirror.dir, 'rev-parse', '--is-bare-repository', '--is-shallow-repository')).toBe('true\nfalse');
    expect((await readdir(mirror.dir)).includes('index')).toBe(false);
  });

  it('advances by a merge, from either parent', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const base = await repository.commit({ a: '1' }, 'base');
    await repository.commit({ b: '1' }, 'side 1', { branch: 'side' });
    await repository.commit({ b: '2' }, 'side 2', { branch: 'side' });
    const other = await repository.commit({ a: '2' }, 'main 1');
    const mirror = await mirrorOf(repository.url);
    await mirror.fetch(undefined);
    const merged = await repository.merge('side', 'Merge side');
    expect(await mirror.fetch(base)).toEqual({ kind: 'advanced', head: merged, from: base });
    expect(await mirror.fetch(other)).toMatchObject({ kind: 'advanced', from: other });
    const info = await mirror.commit(merged);
    expect(info.parents).toHaveLength(2);
    expect(info.parents[0]).toBe(other);
    expect(await mirror.changedPaths(other, merged)).toEqual([{ path: 'b', kind: 'added' }]);
  });

  it('holds a force-push until it is accepted', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    await repository.commit({ a: '1' }, 'first');
    const accepted = await repository.commit({ a: '2' }, 'second');
    const mirror = await mirrorOf(repository.url);
    await mirror.fetch(undefined);
    const rewritten = await repository.rewrite({ a: '3' }, 'second, again');
    for (const attempt of [1, 2]) {
      expect(await mirror.fetch(accepted), `attempt ${attempt}`).toEqual({ kind: 'diverged', head: rewritten, accepted });
    }
    // The held commit was fetched before: nothing was downloaded twice.
    expect(server.requests.filter((request) => request.method === 'POST')).toHaveLength(2);
    expect(await nativeGit(mirror.dir, 'rev-parse', 'refs/heads/main')).toBe(accepted);
    expect((await mirror.commit(rewritten)).subject).toBe('second, again');
    expect(await mirror.changedPaths(accepted, rewritten)).toEqual([{ path: 'a', kind: 'modified' }]);

    await mirror.accept(rewritten);
    expect(await nativeGit(mirror.dir, 'rev-parse', 'refs/heads/main')).toBe(rewritten);
    const next = await repository.commit({ a: '4' }, 'third');
    expect(await mirror.fetch(rewritten)).toEqual({ kind: 'advanced', head: next, from: rewritten });
  });

  it('says whether one commit is in the history of another', async () => {
    const repository = await (await origin()).repository('fleet');
    const one = await repository.commit({ a: '1' }, 'one');
    const two = await repository.commit({ a: '2' }, 'two');
    const three = await repository.commit({ a: '3' }, 'three');
    const mirror = await mirrorOf(repository.url);
    expect(await mirror.head()).toBeUndefined();
    await mirror.fetch(undefined);
    expect(await mirror.head()).toBe(three);
    expect(await mirror.contains(three, one)).toBe(true);
    expect(await mirror.contains(two, two)).toBe(true);
    expect(await mirror.contains(two, three)).toBe(false);
    expect(await failureOf(mirror.contains(three, 'f'.repeat(40) as CommitSha))).toMatchObject({ code: 'COMMIT_NOT_FOUND' });
  });

  it('holds a branch that was moved back', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const first = await repository.commit({ a: '1' }, 'first');
    const second = await repository.commit({ a: '2' }, 'second');
    const mirror = await mirrorOf(repository.url);
    await mirror.fetch(undefined);
    await repository.git('push', '--quiet', '--force', 'origin', `${first}:refs/heads/main`);
    expect(await mirror.fetch(second)).toEqual({ kind: 'diverged', head: first, accepted: second });
  });

  it('holds an accepted commit that the repository no longer has', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const head = await repository.commit({ a: '1' }, 'first');
    const mirror = await mirrorOf(repository.url);
    const lost = 'd'.repeat(40) as CommitSha;
    expect(await mirror.fetch(lost)).toEqual({ kind: 'diverged', head, accepted: lost });
    expect(await failureOf(mirror.accept(lost))).toMatchObject({ code: 'COMMIT_NOT_FOUND', retryable: false });
    expect(await failureOf(mirror.commit(lost))).toMatchObject({ code: 'COMMIT_NOT_FOUND' });
    await mirror.accept(head);
    expect(await mirror.fetch(head)).toEqual({ kind: 'unchanged', head });
  });

  it('serialises concurrent calls', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const head = await repository.commit({ 'flake.nix': '{ }' }, 'first');
    const mirror = await mirrorInThread(repository.url);
    const [fetched, commit, again] = await Promise.all([mirror.fetch(undefined), mirror.commit(head), mirror.fetch(head)]);
    expect(fetched.kind).toBe('advanced');
    expect(commit.sha).toBe(head);
    expect(again.kind).toBe('unchanged');
  });

  it('has what was fetched under the new name of its branch, before the next fetch', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const head = await repository.commit({ a: '1' }, 'one');
    const mirror = await mirrorOf(repository.url);
    await mirror.fetch(undefined);
    await mirror[Symbol.asyncDispose]();

    // The old name is in the way of this one: the next fetch makes room.
    const beside = await mirrorOf(repository.url, { dir: mirror.dir, branch: 'main/25.05' });
    expect(await beside.commit(head)).toMatchObject({ sha: head });
    await beside[Symbol.asyncDispose]();
    const back = await mirrorOf(repository.url, { dir: mirror.dir });
    await back.commit(head);
    await back[Symbol.asyncDispose]();

    const renamed = await mirrorOf(repository.url, { dir: mirror.dir, branch: 'trunk' });
    expect(await renamed.commit(head)).toMatchObject({ sha: head });
    expect(await nativeGit(mirror.dir, 'rev-parse', 'refs/heads/trunk')).toBe(head);
    const next = await repository.commit({ a: '2' }, 'two', { branch: 'trunk' });
    expect(await renamed.fetch(head)).toMatchObject({ head: next });
    expect(await nativeGit(mirror.dir, 'rev-parse', 'refs/heads/trunk')).toBe(next);
  });

  it('tracks a branch with a slash, and recreates a mirror of another repository', async () => {
    const server = await origin();
    const one = await server.repository('one');
    const two = await server.repository('two');
    await one.commit({ a: '1' }, 'base');
    const head = await one.commit({ a: '2' }, 'release', { branch: 'release/25.05' });
    const mirror = await mirrorOf(one.url, { branch: 'release/25.05' });
    expect(await mirror.fetch(undefined)).toMatchObject({ head });
    await mirror[Symbol.asyncDispose]();

    const other = await two.commit({ b: '1' }, 'other');
    const reopened = await mirrorOf(two.url, { dir: mirror.dir });
    expect(await reopened.fetch(undefined)).toEqual({ kind: 'advanced', head: other, from: undefined });
    expect(await failureOf(reopened.commit(head))).toMatchObject({ code: 'COMMIT_NOT_FOUND' });
  });
});

describe('commits and files', () => {
  it('reads commits, files and links', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const head = await repository.commit({ 'hosts/ä.nix': 'grüezi\n', link: { symlink: 'hosts/ä.nix' } }, 'Add ä\n\nWhy: because.');
    const mirror = await mirrorOf(repository.url);
    await mirror.fetch(undefined);
    const info = await mirror.commit(head);
    expect(info).toMatchObject({ sha: head, parents: [], authorName: 'Ada Admin', authorEmail: 'ada@example.org', subject: 'Add ä' });
    expect(String(info.committedAt / 1000)).toBe(await repository.git('log', '-1', '--format=%ct'));
    expect(await nativeGit(mirror.dir, 'show', `${head}:hosts/ä.nix`)).toBe('grüezi');
    expect(await nativeGit(mirror.dir, 'show', `${head}:link`)).toBe('hosts/ä.nix');
  });

  it('names changed paths as git does', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const submodule = await (await server.repository('module')).commit({ m: '1' }, 'module');
    const before = await repository.commit(
      {
        same: '=',
        'deep/er/still/kept.nix': '=',
        'deep/er/still/changed.nix': '1',
        'deep/er/still/gone.nix': '1',
        'gone/whole/folder.nix': '1',
        'gone/two.nix': '1',
        becomesFolder: '1',
        'becomesFile/a': '1',
        'becomesFile/b/c': '1',
        script: '#!/bin/sh',
        link: { symlink: 'same' },
        becomesLink: '1',
        vendor: { submodule },
        'folder.x': '1',
      },
      'before',
    );
    const after = await repository.commit(
      {
        'deep/er/still/changed.nix': '2',
        'deep/er/still/gone.nix': null,
        'deep/er/new/added.nix': '1',
        gone: null,
        becomesFolder: null,
        'becomesFolder/now/here': '1',
        becomesFile: null,
        script: { executable: '#!/bin/sh' },
        link: { symlink: 'script' },
        vendor: { submodule: before },
        vendor2: { submodule },
        'folder/y': '1',
      },
      'after',
    );
    await repository.commit({ becomesFile: 'now a file', becomesLink: { symlink: 'same' } }, 'after 2');
    const head = await repository.commit({}, 'empty');
    const mirror = await mirrorOf(repository.url);
    await mirror.fetch(undefined);

    async function native(from: string, to: string): Promise<object[]> {
      const kinds = { A: 'added', D: 'removed' } as Record<string, string>;
      const lines = await nativeGit(repository.bareDir, '-c', 'core.quotePath=false', 'diff', '--no-renames', '--name-status', from, to);
      // Native git calls a change of type (file to link) T; to us it is modified.
      const changes = lines.split('\n').map((line) => ({ path: line.slice(2), kind: kinds[line.slice(0, 1)] ?? 'modified' }));
      return changes.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    }
    const changes = await mirror.changedPaths(before, head);
    expect(changes).toEqual(await native(before, head));
    expect(changes).toContainEqual({ path: 'script', kind: 'modified' });
    expect(changes).toContainEqual({ path: 'vendor2', kind: 'added' });
    expect(changes).toContainEqual({ path: 'becomesFile', kind: 'added' });
    expect(changes).toContainEqual({ path: 'becomesFile/b/c', kind: 'removed' });
    expect(changes.length).toBeGreaterThan(14);
    expect(await mirror.changedPaths(head, before)).toEqual(await native(head, before));
    expect(await mirror.changedPaths(before, after)).toEqual(await native(before, after));
    expect(await mirror.changedPaths(head, head)).toEqual([]);
    const emptyTree = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';
    expect(await mirror.changedPaths(undefined, head)).toEqual(await native(emptyTree, head));
  });
});

describe('answers of the server', () => {
  it('uses the token, and never writes it to the disk', async () => {
    const server = await origin({ token: 'hunter2-token' });
    const repository = await server.repository('fleet');
    const head = await repository.commit({ a: '1' }, 'first');
    const log = memoryLogger();
    const mirror = await mirrorInThread(repository.url, { token: new Secret('hunter2-token'), logger: log.logger });
    expect(await mirror.fetch(undefined)).toMatchObject({ kind: 'advanced', head });
    const before = server.requests.length;
    await mirror.fetch(head);
    // An accepted token is sent with the first request, without waiting for a refusal.
    expect(server.requests.slice(before).map((request) => request.status)).toEqual([200]);

    const files = await readdir(mirror.dir, { recursive: true, withFileTypes: true });
    const plain = files.filter((file) => file.isFile());
    expect(plain.map((file) => file.name)).toContain('config');
    const encoded = Buffer.from('x-access-token:hunter2-token').toString('base64');
    for (const file of plain) {
      const content = await readFile(join(file.parentPath, file.name), 'latin1');
      expect(content).not.toContain('hunter2-token');
      expect(content).not.toContain(encoded);
    }
    expect(log.lines.join('\n')).not.toContain('hunter2-token');
  });

  it('reports a wrong token after one request, and recovers with the right one at the next start', async () => {
    const server = await origin({ token: 'right' });
    const repository = await server.repository('fleet');
    await repository.commit({ a: '1' }, 'first');
    const wrong = await mirrorOf(repository.url, { token: new Secret('wr0ng') });
    const failure = await failureOf(wrong.fetch(undefined));
    expect(failure).toMatchObject({ code: 'REPOSITORY_UNAUTHORIZED', retryable: false });
    expect(failure.message).toContain('FLOE_REPOSITORY_TOKEN_FILE');
    expect(failure.message).not.toContain('wr0ng');
    expect(server.requests.map((request) => request.status)).toEqual([401]);
    await wrong[Symbol.asyncDispose]();
    const right = await mirrorOf(repository.url, { dir: wrong.dir, token: new Secret('right') });
    expect((await right.fetch(undefined)).kind).toBe('advanced');
  });

  it('asks for a token where one is required', async () => {
    const server = await origin({ token: 'right' });
    const repository = await server.repository('fleet');
    const mirror = await mirrorOf(repository.url);
    const failure = await failureOf(mirror.fetch(undefined));
    expect(failure).toMatchObject({ code: 'REPOSITORY_UNAUTHORIZED', retryable: false });
    expect(failure.message).toMatch(/requires a token.*FLOE_REPOSITORY_TOKEN_FILE/);
  });

  it('names a server that is down, and continues when it is back', async () => {
    const dir = await temporaryFolder();
    const server = await startGitOrigin({ dir });
    const repository = await server.repository('fleet');
    const head = await repository.commit({ a: '1' }, 'first');
    const mirror = await mirrorOf(repository.url);
    await mirror.fetch(undefined);
    await server[Symbol.asyncDispose]();
    const failure = await failureOf(mirror.fetch(head));
    expect(failure).toMatchObject({ code: 'REPOSITORY_UNREACHABLE', retryable: true });
    expect(failure.message).toContain('ECONNREFUSED');
    expect(await nativeGit(mirror.dir, 'show', `${head}:a`)).toBe('1');
  });

  it('names a repository that does not exist', async () => {
    const server = await origin();
    const mirror = await mirrorOf(`${server.url}/none.git`);
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'REPOSITORY_NOT_FOUND', retryable: false });
  });

  it('finds the branch that HEAD names, without a folder, and says what there is when it names none', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const dir = join(await temporaryFolder(), 'none');
    const find = async (): Promise<string> => await findDefaultBranch({ dir, url: repository.url, logger: silentLogger });
    expect(await failureOf(find())).toMatchObject({
      code: 'BRANCH_NOT_FOUND',
      message: expect.stringContaining('is empty: push a first commit') as string,
    });
    await repository.commit({ a: '1' }, 'first');
    await repository.commit({ a: '2' }, 'other', { branch: 'release/25.11' });
    expect(await find()).toBe('main');
    await repository.setDefaultBranch('release/25.11');
    expect(await find()).toBe('release/25.11');
    await repository.setDefaultBranch('gone');
    expect(await failureOf(find())).toMatchObject({
      code: 'BRANCH_NOT_FOUND',
      message: expect.stringContaining('names no default branch: set FLOE_REPOSITORY_BRANCH to one of its branches (main, release/25.11)') as string,
    });
    await expect(stat(dir)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('tells at each fetch what HEAD names', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const head = await repository.commit({ a: '1' }, 'first');
    await repository.commit({ a: '2' }, 'other', { branch: 'develop' });
    const told: string[] = [];
    const mirror = await mirrorInThread(repository.url, { onDefaultBranch: (name) => told.push(name) });
    await mirror.fetch(undefined);
    await repository.setDefaultBranch('develop');
    expect(await mirror.fetch(head)).toMatchObject({ head });
    expect(told).toEqual(['main', 'develop']);
  });

  it('lists the branches when the branch does not exist, was deleted, or nothing was pushed yet', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const mirror = await mirrorOf(repository.url);
    const empty = await failureOf(mirror.fetch(undefined));
    expect(empty).toMatchObject({ code: 'BRANCH_NOT_FOUND', retryable: false });
    expect(empty.message).toMatch(/is empty: push a first commit to main/);

    const head = await repository.commit({ a: '1' }, 'first');
    await repository.commit({ a: '2' }, 'other', { branch: 'develop' });
    const unknown = await failureOf((await mirrorOf(repository.url, { branch: 'mian' })).fetch(undefined));
    expect(unknown.code).toBe('BRANCH_NOT_FOUND');
    expect(unknown.message).toContain('no branch mian: set FLOE_REPOSITORY_BRANCH to one that it has (main, its default; develop)');

    await mirror.fetch(undefined);
    await repository.deleteBranch('main');
    const deleted = await failureOf(mirror.fetch(head));
    expect(deleted.code).toBe('BRANCH_NOT_FOUND');
    expect(await nativeGit(mirror.dir, 'show', `${head}:a`)).toBe('1');
    const back = await repository.commit({ a: '9' }, 'back');
    expect(await mirror.fetch(head)).toMatchObject({ head: back });
  });

  it('fetches while the HEAD of the server names a branch that does not exist', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const first = await repository.commit({ a: '1' }, 'first');
    const mirror = await mirrorOf(repository.url);
    await mirror.fetch(undefined);
    await writeFile(join(repository.bareDir, 'HEAD'), 'ref: refs/heads/unborn\n');
    const second = await repository.commit({ a: '2' }, 'second');
    expect(await mirror.fetch(first)).toMatchObject({ kind: 'advanced', head: second });
    expect(await nativeGit(mirror.dir, 'show', `${second}:a`)).toBe('2');
  });

  it('reports a web page in place of a repository, and an error of the server', async () => {
    let status = 200;
    const server = await origin({
      intercept: (_req, res) => {
        res.writeHead(status, { 'content-type': 'text/html' }).end('<html>Sign in</html>');
        return true;
      },
    });
    const mirror = await mirrorOf(`${server.url}/fleet.git`);
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'REPOSITORY_NOT_FOUND', retryable: false });
    for (status of [500, 502, 503]) {
      expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'REPOSITORY_UNREACHABLE', retryable: true });
    }
    status = 403;
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'REPOSITORY_UNAUTHORIZED' });
  });

  it('follows redirects on the same server, and none to another server', async () => {
    const elsewhere = await origin();
    let target = '';
    const server = await origin({
      token: 'right',
      intercept: (req, res) => {
        if (!req.url?.startsWith('/old.git')) return false;
        res.writeHead(301, { location: target + req.url.replace('/old.git', '/new.git') }).end();
        return true;
      },
    });
    const repository = await server.repository('new');
    const head = await repository.commit({ a: '1' }, 'first');
    const mirror = await mirrorOf(`${server.url}/old.git`, { token: new Secret('right') });
    expect(await mirror.fetch(undefined)).toMatchObject({ head });
    target = elsewhere.url;
    const failure = await failureOf(mirror.fetch(head));
    expect(failure).toMatchObject({ code: 'REPOSITORY_MOVED', retryable: false });
    expect(failure.message).toContain(`${elsewhere.url}/new.git`);
    expect(elsewhere.requests).toEqual([]);
  });

  it('refuses a truncated pack, and fetches it completely the next time', async () => {
    let isCutting = true;
    const server = await origin({
      intercept: (req, res) => {
        if (!isCutting || req.method !== 'POST') return false;
        const chunks: Buffer[] = [];
        const end = res.end.bind(res);
        res.write = ((chunk: Buffer) => chunks.push(chunk) > 0) as typeof res.write;
        res.end = (() => end(Buffer.concat(chunks).subarray(0, 300))) as typeof res.end;
        return false;
      },
    });
    const repository = await server.repository('fleet');
    const noise = Array.from({ length: 200 }, (_, index) => (index * 7919).toString(36)).join(' ');
    const head = await repository.commit({ a: noise, b: noise.toUpperCase() }, 'first');
    const mirror = await mirrorOf(repository.url);
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'REPOSITORY_UNREACHABLE', retryable: true });
    expect(await readdir(join(mirror.dir, 'objects/pack'))).toEqual([]);
    isCutting = false;
    expect(await mirror.fetch(undefined)).toMatchObject({ kind: 'advanced', head });
    expect(await nativeGit(mirror.dir, 'show', `${head}:a`)).toBe(noise);
  });
});

describe('time limits and threads', () => {
  /** A server that accepts connections and never answers. */
  async function silentServer(): Promise<{ url: string; connected: Promise<void> }> {
    const connected = Promise.withResolvers<void>();
    const sockets = new Set<import('node:net').Socket>();
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('data', () => connected.resolve());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return { url: `http://127.0.0.1:${address.port}/fleet.git`, connected: connected.promise };
  }

  it('ends a fetch that takes too long', async () => {
    const { url } = await silentServer();
    const mirror = await mirrorInThread(url, { silenceMs: 300 });
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'GIT_TIMED_OUT', retryable: true });
    // The limit is so short that it may end a thread that starts slowly, so the call is repeated until it started in time.
    await expect.poll(() => failureOf(mirror.commit('a'.repeat(40) as CommitSha)), { timeout: 30_000 }).toMatchObject({ code: 'COMMIT_NOT_FOUND' });
  });

  it('obeys the signal, while waiting too', async () => {
    const { url, connected } = await silentServer();
    const mirror = await mirrorInThread(url);
    const controller = new AbortController();
    const running = mirror.fetch(undefined, controller.signal);
    const waiting = mirror.fetch(undefined, controller.signal);
    await connected;
    controller.abort();
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    await expect(mirror.fetch(undefined, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('rejects open calls when it is closed', async () => {
    const { url, connected } = await silentServer();
    const mirror = await mirrorInThread(url);
    const running = mirror.fetch(undefined).catch((error: unknown) => error);
    await connected;
    await mirror[Symbol.asyncDispose]();
    expect(await running).toMatchObject({ name: 'AbortError' });
    await expect(mirror.fetch(undefined)).rejects.toMatchObject({ name: 'AbortError' });
  });

  /** The real thread, except that it first runs the file beside it. */
  async function faultyWorker(): Promise<{ workerUrl: URL; set(fault: string): Promise<void> }> {
    const dir = await temporaryFolder();
    const real = new URL('./mirror-worker.ts', import.meta.url).href;
    await writeFile(
      join(dir, 'worker.mjs'),
      `import { readFileSync } from 'node:fs';
       import { parentPort } from 'node:worker_threads';
       const fault = readFileSync(new URL('./fault', import.meta.url), 'utf8');
       if (fault === 'hang') parentPort.once('message', () => { for (;;); });
       else if (fault === 'exit') parentPort.once('message', () => process.exit(1));
       else if (fault === 'throw') throw new Error('broken on purpose');
       else await import(${JSON.stringify(real)});`,
    );
    return { workerUrl: new URL(`file://${dir}/worker.mjs`), set: (fault) => writeFile(join(dir, 'fault'), fault) };
  }

  it('starts the thread again after it died or did not start', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const head = await repository.commit({ a: '1' }, 'first');
    const worker = await faultyWorker();
    await worker.set('exit');
    const mirror = await mirrorInThread(repository.url, { workerUrl: worker.workerUrl });
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'GIT_WORKER_STOPPED', retryable: true });
    await worker.set('throw');
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'GIT_WORKER_STOPPED' });
    await worker.set('none');
    expect(await mirror.fetch(undefined)).toMatchObject({ kind: 'advanced', head });
  });

  it('starts the thread again after it hung', async () => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const head = await repository.commit({ a: '1' }, 'first');
    const worker = await faultyWorker();
    await worker.set('hang');
    const mirror = await mirrorInThread(repository.url, { workerUrl: worker.workerUrl, silenceMs: 500 });
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'GIT_TIMED_OUT', retryable: true });
    await worker.set('none');
    const again = (): Promise<unknown> => mirror.fetch(undefined).catch((error: unknown) => error);
    await expect.poll(again, { timeout: 30_000 }).toMatchObject({ kind: 'advanced', head });
  });
});

describe('healing', () => {
  interface Mirrored {
    readonly server: GitOrigin;
    readonly repository: OriginRepository;
    readonly url: string;
    readonly dir: string;
    readonly first: CommitSha;
    readonly head: CommitSha;
  }
  /** For tests that change only a copy of its mirror. */
  let shared: Mirrored;
  let sharedCleanups: typeof cleanups = [];
  beforeAll(async () => {
    shared = await mirroredRepository();
    sharedCleanups = cleanups.splice(0).toReversed();
  });
  afterAll(async () => {
    for (const cleanup of sharedCleanups) await cleanup();
  });

  async function mirroredRepository(): Promise<Mirrored> {
    const server = await origin();
    const repository = await server.repository('fleet');
    const first = await repository.commit({ a: '1', 'b/c': '1' }, 'first');
    const mirror = await mirrorOf(repository.url);
    await mirror.fetch(undefined);
    const head = await repository.commit({ a: '2' }, 'second');
    await mirror.fetch(first);
    await mirror[Symbol.asyncDispose]();
    return { server, repository, url: repository.url, dir: mirror.dir, first, head };
  }

  async function packs(dir: string, suffix: string): Promise<string[]> {
    const folder = join(dir, 'objects/pack');
    return (await readdir(folder)).filter((name) => name.endsWith(suffix)).map((name) => join(folder, name));
  }

  it.each<[string, (dir: string) => Promise<unknown>]>([
    ['a pack cut short', async (dir) => Promise.all((await packs(dir, '.pack')).map((path) => truncate(path, 40)))],
    [
      'a pack with other bytes',
      async (dir) => Promise.all((await packs(dir, '.pack')).map(async (path) => writeFile(path, Buffer.alloc((await stat(path)).size, 7)))),
    ],
    ['packs without content', async (dir) => Promise.all((await packs(dir, '.pack')).map((path) => truncate(path, 0)))],
    ['indices without content', async (dir) => Promise.all((await packs(dir, '.idx')).map((path) => truncate(path, 0)))],
    ['no packs', async (dir) => rm(join(dir, 'objects/pack'), { recursive: true })],
    ['no objects', async (dir) => rm(join(dir, 'objects'), { recursive: true })],
    ['no refs', async (dir) => rm(join(dir, 'refs'), { recursive: true })],
    ['an empty branch file', async (dir) => truncate(join(dir, 'refs/heads/main'), 0)],
    ['no HEAD', async (dir) => rm(join(dir, 'HEAD'))],
    ['a damaged configuration', async (dir) => writeFile(join(dir, 'config'), '[core\nbare')],
    ['only the marker', async (dir) => Promise.all(['HEAD', 'config', 'objects', 'refs'].map((name) => rm(join(dir, name), { recursive: true })))],
    ['an empty marker', async (dir) => truncate(join(dir, 'floe-mirror'), 0)],
    ['the rest of a write', async (dir) => writeFile(join(dir, 'floe-tmp', 'rest'), 'PACK')],
  ])('repairs a mirror with %s', async (_what, damage) => {
    const { url, first, head } = shared;
    const dir = join(await temporaryFolder(), 'mirror');
    await cp(shared.dir, dir, { recursive: true });
    await damage(dir);
    const mirror = await mirrorOf(url, { dir });
    // Damage that only a read detects: it takes a read and a second look.
    await mirror.fetch(head);
    await mirror.changedPaths(first, head).catch(() => undefined);
    expect(await mirror.fetch(head)).toEqual({ kind: 'unchanged', head });
    expect(await mirror.changedPaths(first, head)).toEqual([{ path: 'a', kind: 'modified' }]);
    expect(await nativeGit(dir, 'fsck', '--full')).not.toMatch(/failed|error|missing|bad/);
    expect(await nativeGit(dir, 'rev-parse', 'refs/heads/main')).toBe(head);
    expect(await readdir(join(dir, 'floe-tmp'))).toEqual([]);
  });

  it('reports damage found by a read as retryable, and keeps the mirror while the server does not answer', async () => {
    const { server, url, dir, first, head } = await mirroredRepository();
    const lost = (await packs(dir, '.pack')).map((path) => rm(path));
    await Promise.all(lost);
    const mirror = await mirrorOf(url, { dir });
    expect(await failureOf(mirror.changedPaths(first, head))).toMatchObject({ code: 'MIRROR_BROKEN', retryable: true });
    await server[Symbol.asyncDispose]();
    expect(await failureOf(mirror.fetch(head))).toMatchObject({ code: 'REPOSITORY_UNREACHABLE' });
    expect(await packs(dir, '.idx')).toHaveLength(2);
  });

  it('recreates a mirror once per head, and then reports what is wrong with the repository', async () => {
    const { server, repository, url, dir, first, head } = await mirroredRepository();
    // The origin loses a folder: from now on, whatever it sends is incomplete.
    const tree = (await repository.git('rev-parse', `${head}:b`)).trim();
    await rm(join(repository.bareDir, 'objects', tree.slice(0, 2), tree.slice(2)), { force: true });
    await repository.git('--git-dir', repository.bareDir, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
    const log = memoryLogger();
    const mirror = await mirrorOf(url, { dir, logger: log.logger });
    for (const path of await packs(dir, '.pack')) await writeFile(path, Buffer.alloc(100, 7));
    const outcomes = [];
    for (let attempt = 0; attempt < 5; attempt += 1) {
      outcomes.push(await mirror.fetch(head).catch((error: unknown) => error));
      await mirror.changedPaths(undefined, head).catch(() => undefined);
      await mirror.changedPaths(first, head).catch(() => undefined);
    }
    expect(log.lines.filter((line) => line.includes('is replaced'))).toHaveLength(1);
    expect(server.requests.filter(({ method }) => method === 'POST').length).toBeLessThan(8);
    // Also in a new thread, because the note is on the disk.
    await mirror[Symbol.asyncDispose]();
    const again = await mirrorOf(url, { dir, logger: log.logger });
    await again.changedPaths(undefined, head).catch(() => undefined);
    await again.fetch(head).catch(() => undefined);
    expect(log.lines.filter((line) => line.includes('is replaced'))).toHaveLength(1);
  });

  it.each<[string, string]>([
    ['no space before the mail', 'Ada<ada@example.org> 1700000000 +0000'],
    ['no time zone', 'Ada <ada@example.org> 1700000000'],
    ['no date', 'Ada <ada@example.org>'],
    ['a date beyond all years', 'Ada <ada@example.org> 99999999999999999 +0000'],
    ['nothing in it', ''],
  ])('accepts a commit whose author line has %s, and downloads nothing twice', async (_what, line) => {
    const { server, repository, url, dir, head } = await mirroredRepository();
    const file = join(await temporaryFolder(), 'commit');
    const tree = await repository.git('rev-parse', `${head}^{tree}`);
    await writeFile(file, `tree ${tree}\nparent ${head}\nauthor ${line}\ncommitter ${line}\n\nodd\n`);
    const odd = (await repository.git('--git-dir', repository.bareDir, 'hash-object', '-t', 'commit', '--literally', '-w', file)) as CommitSha;
    await repository.git('--git-dir', repository.bareDir, 'update-ref', 'refs/heads/main', odd);
    const log = memoryLogger();
    const mirror = await mirrorOf(url, { dir, logger: log.logger });
    expect(await mirror.fetch(head)).toMatchObject({ kind: 'advanced', head: odd });
    expect(await mirror.commit(odd)).toMatchObject({ subject: 'odd', parents: [head] });
    const before = server.requests.length;
    expect(await mirror.fetch(odd)).toMatchObject({ kind: 'unchanged' });
    expect(server.requests.slice(before).map(({ method }) => method)).toEqual(['GET']);
    expect(log.lines).toEqual([]);
  });

  it('does not know the changes since a commit that a force-push removed', async () => {
    const { repository, url, head } = await mirroredRepository();
    const rewritten = await repository.rewrite({ a: '3' }, 'second, again');
    const mirror = await mirrorOf(url);
    await mirror.fetch(undefined);
    expect(await mirror.changedPaths(head, rewritten)).toBe('unknown');
  });

  it('does not touch a folder that is not a mirror', async () => {
    const { url } = await mirroredRepository();
    const dir = await temporaryFolder();
    await writeFile(join(dir, 'precious'), 'data');
    const mirror = await mirrorOf(url, { dir });
    const failure = await failureOf(mirror.fetch(undefined));
    expect(failure).toMatchObject({ code: 'MIRROR_FOLDER_TAKEN', retryable: false });
    expect(failure.message).toContain(dir);
    expect(await readdir(dir)).toEqual(['precious']);
  });

  /** Fetches in a separate process, which is killed as soon as the folder shows `sign`. */
  async function fetchAndDie(url: string, dir: string, sign: string): Promise<void> {
    const script = join(await temporaryFolder(), 'fetch.mjs');
    await writeFile(
      script,
      `import { readdirSync } from 'node:fs';
       import { mirrorHere } from ${JSON.stringify(new URL('./test/mirror-here.ts', import.meta.url).href)};
       const [dir, url, sign] = process.argv.slice(2);
       const names = () => { try { return readdirSync(dir, { recursive: true }); } catch { return []; } };
       const count = (all) => all.filter((name) => new RegExp(sign).test(name)).length;
       const before = count(names());
       const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };
       const mirror = mirrorHere({ dir, url, branch: 'main', logger: silent });
       const look = () => { if (count(names()) > before) process.kill(process.pid, 'SIGKILL'); };
       setInterval(look, 0);
       mirror.fetch(undefined).then(() => { look(); process.exit(0); }, (error) => { console.error(error); process.exit(1); });`,
    );
    const result = await execInTest(process.execPath, [script, dir, url, sign]);
    expect(result.signal, `${sign}: ${result.stderr}`).toBe('SIGKILL');
  }

  it.each([
    ['the folder was made', 'floe-tmp$'],
    ['the configuration was written', '^config$'],
    ['the pack began', 'floe-tmp/.'],
    ['the pack came', String.raw`\.pack$`],
    ['the pack has its index', String.raw`\.idx$`],
    ['the end of the fetch was noted', 'refs/floe/fetched$'],
    ['the branch was moved', 'refs/heads/main$'],
  ])('survives being killed in the first fetch once %s', async (_what, sign) => {
    const server = await origin();
    const repository = await server.repository('fleet');
    const files = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`d${index % 7}/f${index}`, `${index}\n`.repeat(50)]));
    const head = await repository.commit(files, 'first');
    const dir = join(await temporaryFolder(), 'mirror');
    await fetchAndDie(repository.url, dir, sign);
    const mirror = await mirrorOf(repository.url, { dir });
    expect(await mirror.fetch(undefined)).toEqual({ kind: 'advanced', head, from: undefined });
    expect(await mirror.changedPaths(undefined, head)).toHaveLength(30);
    expect(await nativeGit(dir, 'fsck', '--full')).not.toMatch(/failed|error|missing|bad/);
    expect(await nativeGit(dir, 'rev-parse', 'refs/heads/main')).toBe(head);
  });

  it.each([
    ['the pack came', String.raw`\.pack$`],
    ['the pack has its index', String.raw`\.idx$`],
  ])('survives being killed in a later fetch once %s, and stays readable meanwhile', async (_what, sign) => {
    const { repository, url, dir, first, head } = await mirroredRepository();
    const next = await repository.commit({ a: '3' }, 'third');
    await fetchAndDie(url, dir, sign);
    expect(await nativeGit(dir, 'rev-list', '--count', 'refs/heads/main')).toMatch(/^[23]$/);
    const log = memoryLogger();
    const mirror = await mirrorOf(url, { dir, logger: log.logger });
    expect(await mirror.changedPaths(first, head)).toEqual([{ path: 'a', kind: 'modified' }]);
    expect(await mirror.fetch(head)).toEqual({ kind: 'advanced', head: next, from: head });
    expect(await nativeGit(dir, 'fsck', '--full')).not.toMatch(/failed|error|missing|bad/);
    expect(log.lines, 'nothing had to be replaced').toEqual([]);
  });
});

describe('openMirror', () => {
  it('refuses settings that cannot work', async () => {
    const dir = await temporaryFolder();
    const open = (url: string, branch: string): Promise<GitMirror> => openMirror({ dir, url, branch, logger: silentLogger });
    expect(await failureOf(open('git@github.com:acme/fleet.git', 'main'))).toMatchObject({ code: 'REPOSITORY_URL_UNSUPPORTED', retryable: false });
    expect(await failureOf(open('https://example.org/fleet.git', '../x'))).toMatchObject({ code: 'BRANCH_NAME_INVALID', retryable: false });
  });

  it('warns about a token that would be sent unencrypted', async () => {
    const log = memoryLogger();
    await mirrorInThread('http://git.example.org/fleet.git', { token: new Secret('t0ken'), logger: log.logger });
    expect(log.lines.join('\n')).toContain('without encryption');
    expect(log.lines.join('\n')).not.toContain('t0ken');
  });
});
