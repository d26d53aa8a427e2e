import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { createLogger, isFloeError } from '@floe/runtime';
import { startGitOrigin, type GitOrigin, type OriginRepository } from '@floe/testkit';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { GitMirror } from './index.ts';
import { mirrorHere } from './test/mirror-here.ts';
import { pointBranch, rawTree, writeRawObject } from './test/raw-objects.ts';

// Objects that a branch may point at, in every form that git stores. Each may at most cost its own commit.
vi.setConfig({ testTimeout: 120_000 });

let folder: string;
let server: GitOrigin;
let repository: OriginRepository;
let good: CommitSha;
let blob: string;
let tree: string;
let mirror: GitMirror;
const log: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floe-odd-heads-'));
  log.length = 0;
  server = await startGitOrigin();
  repository = await server.repository('fleet');
  good = await repository.commit({ a: '1' }, 'good');
  blob = await writeRawObject(repository.bareDir, 'blob', 'x');
  tree = await writeRawObject(repository.bareDir, 'tree', rawTree([{ mode: '100644', name: 'x', oid: blob }]));
  const logger = createLogger({ level: 'debug', write: (line) => log.push(line) });
  mirror = mirrorHere({ dir: join(folder, 'mirror'), url: repository.url, branch: 'main', logger });
  await mirror.fetch(undefined);
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Takes in the head as the pipeline does: fetch, accept, read, inspect its files, compare. */
async function takeIn(accepted: CommitSha): Promise<string> {
  try {
    const { kind, head } = await mirror.fetch(accepted);
    if (kind === 'diverged') await mirror.accept(head);
    const { subject, authorName } = await mirror.commit(head);
    expect(`${subject}${authorName}`.length).toBeLessThanOrEqual(400);
    await mirror.inspect(head);
    await mirror.changedPaths(accepted, head);
    return 'taken';
  } catch (error) {
    if (isFloeError(error)) return error.code;
    throw error;
  }
}

/** Nothing was deleted because of it, and the next valid commit is taken in. */
async function expectUnharmed(): Promise<void> {
  expect(log.filter((line) => line.includes('is replaced'))).toEqual([]);
  await pointBranch(repository.bareDir, good);
  expect(await takeIn(good)).toBe('taken');
}

const who = 'Ada <ada@example.org> 1700000000 +0000';
function commitText(headers: readonly string[], message = 'odd\n'): Buffer {
  return Buffer.from(`${headers.map((line) => `${line}\n`).join('')}\n${message}`, 'latin1');
}

const line = fc.oneof(
  { weight: 2, arbitrary: fc.constant(who) },
  fc.constantFrom(
    '',
    '<',
    'Ada<a@b> 1 +0000',
    'Ada <a@b>',
    'Ada <a@b> -1 +0000',
    'Ada <a@b> 99999999999999999999 +0000',
    'Ada <a@b> 1e9 -9999',
    '\0 <\0> 1 +0000',
  ),
  fc.string({ unit: 'binary', maxLength: 60 }).map((text) => text.replaceAll('\n', ' ')),
);
const extra = fc.array(
  fc.constantFrom(
    'encoding none-such',
    'encoding UTF-16LE',
    'gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----',
    'gpgsig-sha256 x',
    'mergetag object 1\n type commit',
    'HG:extra branch:x',
    ' goes on',
    'x',
    '\0',
  ),
  { maxLength: 4 },
);

it('accepts generated commits, or refuses each with its own error', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        parents: fc.constantFrom<readonly string[]>(
          [],
          ['good'],
          ['good', 'good'],
          Array.from({ length: 100 }, () => 'good'),
          ['tree'],
          ['none'],
        ),
        author: fc.option(line, { nil: undefined, freq: 8 }),
        committer: fc.option(line, { nil: undefined, freq: 8 }),
        extra,
        message: fc.oneof(fc.string({ unit: 'binary', maxLength: 100 }), fc.constantFrom('', '\n\n\n', '\0', 'x'.repeat(70_000))),
        treeOf: fc.constantFrom('tree', 'tree', 'tree', 'blob', 'none', 'missing header'),
      }),
      async ({ parents, author, committer, extra: more, message, treeOf }) => {
        const named: Readonly<Record<string, string>> = { good, tree, blob, none: 'd'.repeat(40) };
        const headers = [
          ...(treeOf === 'missing header' ? [] : [`tree ${named[treeOf]}`]),
          ...parents.map((parent) => `parent ${named[parent]}`),
          ...(author === undefined ? [] : [`author ${author}`]),
          ...(committer === undefined ? [] : [`committer ${committer}`]),
          ...more,
        ];
        const head = await writeRawObject(repository.bareDir, 'commit', commitText(headers, message));
        await pointBranch(repository.bareDir, head);
        const outcome = await takeIn(good);
        expect(['taken', 'COMMIT_UNREADABLE', 'REPOSITORY_REFUSED', 'REPOSITORY_UNREACHABLE', 'REPOSITORY_DAMAGED', 'MIRROR_BROKEN']).toContain(
          outcome,
        );
        const isWhole = treeOf === 'tree' && parents.every((parent) => parent === 'good');
        if (isWhole) expect(outcome).toBe('taken');
      },
    ),
    { numRuns: fc.readConfigureGlobal().numRuns ?? 25 },
  );
  await pointBranch(repository.bareDir, good);
  expect(await takeIn(good)).toBe('taken');
});

it.each<[string, () => Promise<string>]>([
  ['a tree', async () => tree],
  ['a blob', async () => blob],
  ['a tag', async () => await writeRawObject(repository.bareDir, 'tag', `object ${good}\ntype commit\ntag v1\ntagger ${who}\n\nv1\n`)],
  ['a tag of a tree', async () => await writeRawObject(repository.bareDir, 'tag', `object ${tree}\ntype tree\ntag v1\ntagger ${who}\n\nv1\n`)],
])('refuses a branch that points at %s, and continues with the next commit', async (_what, make) => {
  await pointBranch(repository.bareDir, await make());
  const before = server.requests.length;
  for (let look = 0; look < 3; look += 1) expect(await takeIn(good)).toBe('COMMIT_UNREADABLE');
  expect(server.requests.slice(before).filter(({ method }) => method === 'POST').length).toBeLessThanOrEqual(3);
  await expectUnharmed();
});

it.each<[string, string]>([
  ['a HEAD that names no branch', 'ref: refs/heads/none\n'],
  ['a HEAD that names itself', 'ref: HEAD\n'],
  ['a HEAD that is a commit', `${'e'.repeat(40)}\n`],
])('tracks its branch whatever HEAD is: %s', async (_what, text) => {
  const next = await repository.commit({ a: '2' }, 'next');
  await writeFile(join(repository.bareDir, 'HEAD'), text);
  expect(['taken', 'REPOSITORY_NOT_FOUND']).toContain(await takeIn(good));
  await writeFile(join(repository.bareDir, 'HEAD'), 'ref: refs/heads/main\n');
  expect(await takeIn(good)).toBe('taken');
  expect(await mirror.fetch(next)).toMatchObject({ kind: 'unchanged' });
});

it('tracks a branch that is a symbolic ref to another', async () => {
  const next = await repository.commit({ a: '2' }, 'next', { branch: 'trunk' });
  await writeFile(join(repository.bareDir, 'refs/heads/main'), 'ref: refs/heads/trunk\n');
  expect(await takeIn(good)).toBe('taken');
  expect(await mirror.fetch(next)).toMatchObject({ kind: 'unchanged', head: next });
});
