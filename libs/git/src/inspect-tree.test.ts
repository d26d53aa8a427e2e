import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { silentLogger } from '@floe/runtime';
import { startGitOrigin, type GitOrigin, type OriginRepository } from '@floe/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { GitMirror } from './index.ts';
import { mirrorHere } from './test/mirror-here.ts';
import { pointBranch, rawTree, writeRawObject } from './test/raw-objects.ts';

vi.setConfig({ testTimeout: 60_000 });

const LFS = `version https://git-lfs.github.com/spec/v1\noid sha256:${'a'.repeat(64)}\nsize 12345\n`;
const GIT_CRYPT = '\0GITCRYPT\0 and what follows';
const AGE = 'age-encryption.org/v1\n-> ssh-ed25519 abc\n';
const TRANSCRYPT = 'U2FsdGVkX1+abcdefghij\n';

let folder: string;
let server: GitOrigin;
let count = 0;
let repository: OriginRepository;
let mirror: GitMirror;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floe-inspect-'));
  server = await startGitOrigin();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  count += 1;
  repository = await server.repository(`fleet-${count}`);
  mirror = mirrorHere({ dir: join(folder, `mirror-${count}`), url: repository.url, branch: 'main', logger: silentLogger });
});

async function commitOf(tree: string): Promise<CommitSha> {
  const sha = await writeRawObject(repository.bareDir, 'commit', `tree ${tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\ntree\n`);
  await pointBranch(repository.bareDir, sha);
  return sha as CommitSha;
}

describe('files with unexpected content', () => {
  it('are found by their content, in folders too, except files that are encrypted on purpose', async () => {
    const head = await repository.commit(
      {
        'flake.nix': '{ }',
        'wallpapers/blue.png': LFS,
        'hosts/web/cert.pem': GIT_CRYPT,
        'secrets/token.age': AGE,
        'secrets/armor.gpg': '-----BEGIN PGP MESSAGE-----\nabc\n',
        'notes.md': `LFS pointers begin with "version https://git-lfs.github.com/spec/v1"`,
        link: { symlink: 'version https://git-lfs.github.com/spec/v1' },
      },
      'first',
    );
    await mirror.fetch(undefined);
    expect(await mirror.inspect(head)).toEqual({
      problem: undefined,
      isComplete: true,
      submodules: [],
      opaque: [
        { path: 'hosts/web/cert.pem', kind: 'git-crypt' },
        { path: 'wallpapers/blue.png', kind: 'lfs' },
      ],
    });
  });

  it.each<[string, Record<string, string>, readonly string[]]>([
    [
      'for all files of a kind',
      { '.gitattributes': '*.secret filter=crypt diff=crypt\n', 'a.secret': TRANSCRYPT, 'b/c.secret': AGE, 'd.age': AGE },
      ['a.secret', 'b/c.secret'],
    ],
    ['for a folder', { '.gitattributes': 'secrets/** filter=git-agecrypt\n', 'secrets/a/b': AGE, 'other/a': AGE }, ['secrets/a/b']],
    ['in a folder', { 'b/.gitattributes': '/x filter=crypt\n', 'b/x': AGE, 'b/c/x': AGE, x: AGE }, ['b/x']],
    ['and not for some', { '.gitattributes': '*.s filter=crypt\nplain.s !filter\n', 'a.s': AGE, 'plain.s': AGE }, ['a.s']],
    [
      'with names between stars',
      { '.gitattributes': '**/secrets/*.s filter=crypt\n', 'a/secrets/b/secrets/c.s': AGE, 'secrets/d.s': AGE, 'secrets/e/f.s': AGE },
      ['a/secrets/b/secrets/c.s', 'secrets/d.s'],
    ],
  ])('are encrypted where .gitattributes says so: %s', async (_what, files, expected) => {
    const head = await repository.commit(files, 'first');
    await mirror.fetch(undefined);
    expect((await mirror.inspect(head)).opaque.map(({ path }) => path)).toEqual(expected);
  });

  it('cost only what is new in the next commit, and submodules are listed', async () => {
    const first = await repository.commit({ 'a/b': LFS, 'vendor/lib': { submodule: 'b'.repeat(40) as CommitSha }, 'c/d': 'x' }, 'first');
    await mirror.fetch(undefined);
    expect(await mirror.inspect(first)).toMatchObject({ submodules: ['vendor/lib'], opaque: [{ path: 'a/b' }] });
    const second = await repository.commit({ 'c/d': LFS, 'a/b': 'the file itself' }, 'second');
    await mirror.fetch(first);
    expect(await mirror.inspect(second)).toMatchObject({ submodules: ['vendor/lib'], opaque: [{ path: 'c/d', kind: 'lfs' }] });
    expect(await mirror.inspect(first)).toMatchObject({ opaque: [{ path: 'a/b' }] });
  });
});

describe('a tree that is too large', () => {
  async function bomb(levels: number, width: number): Promise<string> {
    const { bareDir } = repository;
    const folderOf = async (mode: string, oid: string): Promise<string> =>
      await writeRawObject(bareDir, 'tree', rawTree(Array.from({ length: width }, (_, index) => ({ mode, name: `n${index}`, oid }))));
    let tree = await folderOf('100644', await writeRawObject(bareDir, 'blob', 'x'));
    for (let level = 0; level < levels; level += 1) tree = await folderOf('40000', tree);
    return tree;
  }

  it.each([
    ['that doubles with each level', 9, 10, 'it has more than'],
    ['that is deep', 120, 1, 'folders in more than'],
  ])('is refused with a reason: one %s', async (_what, levels, width, message) => {
    const head = await commitOf(await bomb(levels, width));
    await mirror.fetch(undefined);
    const started = performance.now();
    await expect(mirror.inspect(head)).rejects.toMatchObject({
      code: 'REPOSITORY_TOO_LARGE',
      retryable: false,
      message: expect.stringContaining(message) as string,
    });
    expect(await mirror.changedPaths(undefined, head)).toSatisfy((changes) => changes === 'unknown' || levels === 120);
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  it.each([
    ['..', 'name that git forbids'],
    ['.', 'name that git forbids'],
    ['.git', 'name that git forbids'],
    ['.GIT', 'name that git forbids'],
    ['x'.repeat(300), 'too long'],
  ])('is refused for a name that no file can have: %s', async (name, message) => {
    const oid = await writeRawObject(repository.bareDir, 'blob', 'x');
    const head = await commitOf(await writeRawObject(repository.bareDir, 'tree', rawTree([{ mode: '100644', name, oid }])));
    await mirror.fetch(undefined);
    expect((await mirror.inspect(head)).problem).toContain(message);
  });
});
