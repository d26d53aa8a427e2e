import { createServer, type Server } from 'node:http';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMirror } from '@floe/git';
import type { CommitSha } from '@floe/model';
import { execInTest, silentLogger } from '@floe/runtime';
import { createGitHttpHandler, ISOLATED_GIT_ENV } from '@floe/testkit';

/** The cost of taking in one commit, in ms: medians. The clone is a single run. */
export interface GitCost {
  readonly cloneMs: number;
  /** Fetching one new commit over HTTP. */
  readonly fetchMs: number;
  /** Naming the paths that it changed. */
  readonly diffMs: number;
}

export interface GitBenchmark {
  readonly floe: GitCost;
  readonly native: GitCost;
}

export interface GitBenchmarkSize {
  readonly files: number;
  readonly commits: number;
  /** Files changed by each commit. */
  readonly changes: number;
  readonly rounds: number;
}

const DEFAULT_SIZE: GitBenchmarkSize = { files: 15_000, commits: 2_000, changes: 5, rounds: 15 };
const BRANCH = 'refs/heads/main';
// More than one fetch takes; the clone of a large repository takes seconds.
const TIMEOUT_MS = 300_000;

/**
 * Fetch and diff of one commit in a large repository, by the mirror and by native git from the same server. They alternate commit
 * by commit, so that other load affects both.
 */
export async function benchGit(size: GitBenchmarkSize = DEFAULT_SIZE): Promise<GitBenchmark> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'floe-bench-git-'));
  stack.defer(async () => await rm(dir, { recursive: true, force: true }));
  const origin = join(dir, 'served', 'fleet.git');
  await mkdir(origin, { recursive: true });
  await git(origin, 'init', '--quiet', '--bare', '--initial-branch=main');
  await git(origin, 'config', 'gc.auto', '0');
  await importInto(origin, history(size));
  await git(origin, 'repack', '-a', '-d', '--quiet', '--write-bitmap-index');

  const handler = createGitHttpHandler({ projectRoot: join(dir, 'served') });
  const server = createServer(handler);
  stack.defer(() => handler.settled());
  const url = `http://127.0.0.1:${await listen(server)}/fleet.git`;
  stack.defer(async () => await new Promise<void>((resolve) => void server.close(() => resolve())));
  stack.defer(() => server.closeAllConnections());

  const nativeDir = join(dir, 'native.git');
  const mirror = stack.use(await openMirror({ dir: join(dir, 'mirror'), url, branch: 'main', logger: silentLogger, silenceMs: TIMEOUT_MS }));
  const nativeClone = await timed(() => git(dir, 'clone', '--quiet', '--mirror', '--single-branch', url, nativeDir));
  const floeClone = await timed(() => mirror.fetch(undefined));
  let accepted = floeClone.value.head;

  const samples = { floeFetch: [] as number[], floeDiff: [] as number[], nativeFetch: [] as number[], nativeDiff: [] as number[] };
  for (let round = 0; round < size.rounds; round += 1) {
    await importInto(origin, [commitText(size, size.commits + round, accepted)]);
    const fetched = await timed(() => mirror.fetch(accepted));
    const { head } = fetched.value;
    const changed = await timed(() => mirror.changedPaths(accepted, head));
    const nativeFetched = await timed(() => git(nativeDir, 'fetch', '--quiet', 'origin', `${BRANCH}:${BRANCH}`));
    const nativeChanged = await timed(() => git(nativeDir, 'diff-tree', '-r', '--name-status', accepted, head));
    assertSameChanges(changed.value.length, nativeChanged.value, size.changes);
    samples.floeFetch.push(fetched.ms);
    samples.floeDiff.push(changed.ms);
    samples.nativeFetch.push(nativeFetched.ms);
    samples.nativeDiff.push(nativeChanged.ms);
    accepted = head;
  }
  return {
    floe: { cloneMs: floeClone.ms, fetchMs: median(samples.floeFetch), diffMs: median(samples.floeDiff) },
    native: { cloneMs: nativeClone.ms, fetchMs: median(samples.nativeFetch), diffMs: median(samples.nativeDiff) },
  };
}

/** A history for `git fast-import`: a tree of folders as deep as nixpkgs' or a large fleet's, changed all over. */
function* history(size: GitBenchmarkSize): Generator<string> {
  for (let number = 0; number < size.commits; number += 1) yield commitText(size, number, undefined);
}

function commitText(size: GitBenchmarkSize, number: number, parent: CommitSha | undefined): string {
  const at = 1_700_000_000 + number * 60;
  const message = `Change ${number}`;
  const lines = [`commit ${BRANCH}`, `committer Bench <bench@example.org> ${at} +0000`, `data ${message.length}`, message];
  if (parent !== undefined) lines.push(`from ${parent}`);
  // The first commit has all files; a stride that shares no factor with their number spreads the later changes.
  const count = number === 0 ? size.files : size.changes;
  for (let index = 0; index < count; index += 1) {
    const file = number === 0 ? index : ((number * size.changes + index) * 7919) % size.files;
    const text = `{ lib, pkgs, ... }:\n{\n  services.part${file}.enable = true;\n  # ${number}\n}\n`;
    lines.push(`M 100644 inline area${file % 10}/group${file % 150}/part${file}.nix`, `data ${text.length}`, text);
  }
  return `${lines.join('\n')}\n`;
}

async function importInto(gitDir: string, commits: Iterable<string>): Promise<void> {
  await gitReading([...commits].join(''), gitDir, 'fast-import', '--quiet', '--force');
}

async function git(cwd: string, ...args: readonly string[]): Promise<string> {
  return gitReading('', cwd, ...args);
}

async function gitReading(stdin: string, cwd: string, ...args: readonly string[]): Promise<string> {
  const result = await execInTest('git', args, { cwd, stdin, env: { ...process.env, ...ISOLATED_GIT_ENV } });
  if (result.exitCode !== 0) throw new Error(`git ${args.join(' ')} failed: ${result.stderr}`);
  return result.stdout;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address.port;
}

async function timed<Value>(work: () => Promise<Value>): Promise<{ readonly value: Value; readonly ms: number }> {
  const start = performance.now();
  const value = await work();
  return { value, ms: performance.now() - start };
}

function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** A benchmark of wrong results would be useless. */
function assertSameChanges(count: number, nativeOutput: string, expected: number): void {
  const nativeCount = nativeOutput.trim().split('\n').length;
  if (count !== expected || nativeCount !== expected) {
    throw new Error(`the diff names ${count} paths, native git's ${nativeCount}; ${expected} were changed`);
  }
}
