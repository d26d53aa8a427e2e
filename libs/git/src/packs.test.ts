import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { createLogger, execInTest } from '@floe/runtime';
import { startGitOrigin, type GitOrigin, type OriginRepository } from '@floe/testkit';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { GitMirror } from './index.ts';
import { mirrorHere } from './test/mirror-here.ts';

vi.setConfig({ testTimeout: 60_000 });

const MAX_PACKS = 4;
let folder: string;
let server: GitOrigin;
let repository: OriginRepository;
let dir: string;
let isDown = false;
const log: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floe-packs-'));
  dir = join(folder, 'mirror');
  isDown = false;
  log.length = 0;
  server = await startGitOrigin({ intercept: (req, res) => isDown && req.method === 'POST' && res.writeHead(500).end() !== undefined });
  repository = await server.repository('fleet');
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function mirror(): GitMirror {
  return mirrorHere({
    dir,
    url: repository.url,
    branch: 'main',
    maxPacks: MAX_PACKS,
    logger: createLogger({ level: 'debug', write: (line) => log.push(line) }),
  });
}

async function packFiles(): Promise<string[]> {
  return (await readdir(join(dir, 'objects/pack'))).toSorted();
}

/** Pushes and fetches until there are more packs than allowed. */
async function pushMany(to: GitMirror, from?: CommitSha): Promise<CommitSha> {
  let head = from;
  for (let index = 0; index <= MAX_PACKS; index += 1) {
    const next = await repository.commit({ [`f${index}`]: `${head}` }, `push ${index}`);
    await to.fetch(head);
    head = next;
  }
  if (head === undefined) throw new Error('nothing was pushed');
  return head;
}

async function expectWhole(of: GitMirror, head: CommitSha): Promise<void> {
  expect(await of.commit(head)).toMatchObject({ sha: head });
  expect(await of.changedPaths(undefined, head)).toHaveLength(MAX_PACKS + 1);
  expect(await fsck()).not.toMatch(/failed|error|missing|bad/);
}

async function fsck(...options: readonly string[]): Promise<string> {
  const { stdout, stderr } = await execInTest('git', ['--git-dir', dir, 'fsck', '--full', ...options], {
    env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null' },
  });
  return `${stdout}${stderr}`;
}

it('are merged at the next look that finds nothing new, however many pushes there were', async () => {
  const mine = mirror();
  let head: CommitSha | undefined;
  for (let round = 0; round < 3; round += 1) {
    head = await pushMany(mine, head);
    expect((await packFiles()).length).toBeGreaterThan(2 * MAX_PACKS);
    expect(await mine.fetch(head)).toEqual({ kind: 'unchanged', head });
    expect(await packFiles()).toHaveLength(2);
    await expectWhole(mine, head);
  }
  const before = server.requests.length;
  await mine.fetch(head);
  expect(server.requests.slice(before).map(({ method }) => method)).toEqual(['GET']);
  expect(log).toEqual([]);
});

it('are used as they are while a complete download fails, which is not tried at each look', async () => {
  const mine = mirror();
  const head = await pushMany(mine);
  isDown = true;
  for (let look = 0; look < 3; look += 1) expect(await mine.fetch(head)).toEqual({ kind: 'unchanged', head });
  expect(server.requests.filter(({ status }) => status === 500)).toHaveLength(1);
  expect((await packFiles()).length).toBeGreaterThan(2 * MAX_PACKS);
  await expectWhole(mine, head);
  expect(log.join()).toContain('could not be merged');
});

it('are not deleted while a force-push is held: the accepted commit stays readable', async () => {
  const mine = mirror();
  const accepted = await pushMany(mine);
  const rewritten = await repository.rewrite({ other: 'x' }, 'rewritten');
  expect(await mine.fetch(accepted)).toMatchObject({ kind: 'diverged' });
  await expectWhole(mine, accepted);
  await mine.accept(rewritten);
  expect(await mine.fetch(rewritten)).toMatchObject({ kind: 'unchanged' });
  expect(await packFiles()).toHaveLength(2);
  await expect(mine.commit(accepted)).rejects.toMatchObject({ code: 'COMMIT_NOT_FOUND' });
});

it('leave a working mirror, wherever the merge was interrupted', async () => {
  const mine = mirror();
  const head = await pushMany(mine);
  const old = join(folder, 'old');
  await cp(join(dir, 'objects/pack'), old, { recursive: true });
  await mine.fetch(head);
  // The one pack with all others; then as each file is removed, indices first.
  const names = (await readdir(old)).toSorted();
  for (let gone = 0; gone <= names.length; gone += 4) {
    await rm(join(dir, 'objects/pack'), { recursive: true });
    await cp(old, join(dir, 'objects/pack'), { recursive: true });
    const again = mirror();
    await again.fetch(head);
    const kept = (await packFiles()).filter((name) => !names.includes(name));
    const left = [...names.filter((name) => name.endsWith('.idx')), ...names.filter((name) => !name.endsWith('.idx'))].slice(gone);
    for (const name of left) await cp(join(old, name), join(dir, 'objects/pack', name));
    expect(await packFiles()).toEqual([...kept, ...left].toSorted());
    const after = mirror();
    expect(await after.fetch(head)).toEqual({ kind: 'unchanged', head });
    await expectWhole(after, head);
  }
  expect(log).toEqual([]);
});

const made = fc.oneof(
  fc.record({ kind: fc.constant('tree' as const), ignored: fc.subarray(['f0', 'f1', 'docs/**', '**/*.md']) }),
  fc.record({ kind: fc.constant('another' as const), withFile: fc.boolean() }),
  fc.record({ kind: fc.constant('without' as const), paths: fc.subarray(['f0', 'docs/a.md'], { minLength: 1 }) }),
);

it('are merged with what Floe made of commits: the last of each kind stays whole, and nothing else is left', { timeout: 120_000 }, async () => {
  const mine = mirror();
  let head = await repository.commit({ 'docs/a.md': 'a', 'docs/deep/b.md': 'b', f0: '0', f1: '1' }, 'first');
  await mine.fetch(undefined);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(made, { maxLength: 3 }), { minLength: 1, maxLength: 3 }), async (rounds) => {
      for (const of of rounds) {
        head = await pushMany(mine, head);
        for (const each of of) {
          if (each.kind === 'tree') await mine.tree(head, each.ignored);
          else if (each.kind === 'another') await mine.flakeUrlOfAnother(head, each.withFile);
          else await mine.flakeUrlWithout((await mine.tree(head, ['f1'])).sha, each.paths);
        }
      }
      expect(await mine.fetch(head)).toEqual({ kind: 'unchanged', head });
      expect(await packFiles()).toHaveLength(2);
      expect(await fsck('--unreachable')).not.toMatch(/failed|error|missing|bad|unreachable/);
    }),
    { numRuns: 4 },
  );
});
