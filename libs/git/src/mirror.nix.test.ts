import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { exec, Secret, silentLogger } from '@floe/runtime';
import { startGitOrigin, testNixSettings, type GitOrigin, type OriginRepository } from '@floe/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openMirror, type GitMirror } from './index.ts';

// What Nix reads from a mirror. The flake has no inputs, so nothing else is read.
function flake(answer: string): string {
  return `{ outputs = { self }: { answer = "${answer} " + import ./part.nix; from = self.rev; }; }\n`;
}

let folder: string;
let server: GitOrigin;
let repository: OriginRepository;
let mirror: GitMirror;
let cacheHome: string;

beforeEach(async () => {
  // A space and an umlaut: the path goes into a URL.
  folder = await mkdtemp(join(tmpdir(), 'floe mirror ü '));
  cacheHome = join(folder, 'cache');
  server = await startGitOrigin({ token: 'right' });
  repository = await server.repository('fleet');
  mirror = await openMirror({
    dir: join(folder, 'mirror'),
    url: repository.url,
    branch: 'main',
    token: new Secret('right'),
    logger: silentLogger,
  });
});

afterEach(async () => {
  await mirror[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function nix(...args: string[]): Promise<string> {
  const env = { ...process.env, NIX_CONFIG: `${testNixSettings}\neval-cache = false`, XDG_CACHE_HOME: cacheHome };
  const result = await exec('nix', args, { env, timeoutMs: 60_000 });
  if (result.exitCode !== 0) throw new Error(`nix ${args.join(' ')} failed: ${result.stderr}`);
  return result.stdout.trim();
}

async function evaluate(sha: CommitSha, attribute: string): Promise<string> {
  return nix('eval', '--raw', `${await mirror.flakeUrl(sha)}#${attribute}`);
}

it('evaluates each commit, also an older one and one of a later fetch', async () => {
  const first = await repository.commit({ 'flake.nix': flake('one'), 'part.nix': '"part"' }, 'first');
  await mirror.fetch(undefined);
  expect(await evaluate(first, 'answer')).toBe('one part');
  expect(await evaluate(first, 'from')).toBe(first);

  await repository.commit({ 'flake.nix': flake('two') }, 'second');
  const third = await repository.commit({ 'part.nix': '"other"' }, 'third');
  await mirror.fetch(first);
  expect(await evaluate(third, 'answer')).toBe('two other');
  expect(await evaluate(first, 'answer')).toBe('one part');
  // With an empty cache of Nix, as on a second builder.
  cacheHome = join(folder, 'cache of another builder');
  expect(await evaluate(first, 'answer')).toBe('one part');
});

it('gives the metadata of a commit', async () => {
  const head = await repository.commit({ 'flake.nix': flake('one'), 'part.nix': '"part"' }, 'first');
  await mirror.fetch(undefined);
  const metadata = JSON.parse(await nix('flake', 'metadata', '--json', await mirror.flakeUrl(head))) as { revision: string; locked: { rev: string } };
  expect(metadata.revision).toBe(head);
  expect(metadata.locked.rev).toBe(head);
});

it('evaluates a force-push once it is accepted, and not before', async () => {
  await repository.commit({ 'flake.nix': flake('one'), 'part.nix': '"part"' }, 'first');
  const second = await repository.commit({ 'flake.nix': flake('two') }, 'second');
  await mirror.fetch(undefined);
  expect(await evaluate(second, 'answer')).toBe('two part');
  const rewritten = await repository.rewrite({ 'flake.nix': flake('three') }, 'second, again');
  expect(await mirror.fetch(second)).toEqual({ kind: 'diverged', head: rewritten, accepted: second });
  await expect(evaluate(rewritten, 'answer')).rejects.toThrow(/failed/);
  expect(await evaluate(second, 'answer')).toBe('two part');

  await mirror.accept(rewritten);
  expect(await evaluate(rewritten, 'answer')).toBe('three part');
});

it('evaluates while a fetch updates the mirror', async () => {
  let accepted = await repository.commit({ 'flake.nix': flake('one'), 'part.nix': '"part"' }, 'first');
  const first = accepted;
  await mirror.fetch(undefined);
  const evaluations = Promise.all([1, 2, 3].map(() => evaluate(first, 'answer')));
  for (const answer of ['two', 'three', 'four']) {
    const next = await repository.commit({ 'flake.nix': flake(answer) }, answer);
    await mirror.fetch(accepted);
    accepted = next;
  }
  expect(await evaluations).toEqual(['one part', 'one part', 'one part']);
  expect(await evaluate(accepted, 'answer')).toBe('four part');
});

it('evaluates a flake in a folder of the repository', async () => {
  await repository.commit(
    { 'nix/fleet/flake.nix': flake('folder'), 'nix/fleet/part.nix': 'import ../../other.nix', 'other.nix': '"of the root"' },
    'first',
  );
  const inFolder = await openMirror({
    dir: join(folder, 'mirror of a folder'),
    url: repository.url,
    branch: 'main',
    directory: 'nix/fleet',
    token: new Secret('right'),
    logger: silentLogger,
  });
  try {
    const { head } = await inFolder.fetch(undefined);
    expect(await nix('eval', '--raw', `${await inFolder.flakeUrl(head)}#answer`)).toBe('folder of the root');
  } finally {
    await inFolder[Symbol.asyncDispose]();
  }
});
