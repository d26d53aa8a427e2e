import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import type { CommitSha } from '@floe/model';
import { exec, execInTest, isFloeError } from '@floe/runtime';
import { startGitOrigin, type GitOrigin, type OriginRepository } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEFAULT_REPOSITORY_LIMITS, MAX_FILES, MAX_TREE_DEPTH, UNPACKED_TREE_RATIO } from './limits.ts';
import { createLocalMirror, type LocalMirror } from './local-mirror.ts';
import type { GitObject } from './object-store.ts';
import { parseExactTree } from './tree.ts';
import { writeWholeCommit } from './whole-commit.ts';

// What a submodule may make of the disk: as much as the commit itself, whatever its objects are, and nothing of a call that failed.
vi.setConfig({ testTimeout: 60_000 });

const FLEET = 'f'.repeat(40) as CommitSha;
const ROOT = 'e'.repeat(40);
const tooLarge = (what: string) => ({
  code: 'REPOSITORY_TOO_LARGE',
  retryable: false,
  message: expect.stringContaining(`with its submodules ${what}`) as string,
});

/** The objects of a submodule at `a`. */
class Objects {
  readonly all = new Map<string, GitObject>();

  add(type: GitObject['type'], bytes: Buffer): string {
    const oid = createHash('sha1').update(`${type} ${bytes.length}\0`).update(bytes).digest('hex');
    this.all.set(oid, { type, bytes });
    return oid;
  }

  tree(entries: Readonly<Record<string, { readonly mode: string; readonly oid: string }>>): string {
    const lines = Object.entries(entries).map(([name, { mode, oid }]) => Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(oid, 'hex')]));
    return this.add('tree', Buffer.concat(lines));
  }
}

/** Writes it into memory: the unpacked bytes of what was written, and how it ended. */
async function write(objects: Objects, tree: string, maxDownloadBytes: number): Promise<{ bytes: number; error: unknown }> {
  const commit = objects.add('commit', Buffer.from(`tree ${tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\na\n`)) as CommitSha;
  const link = Buffer.concat([Buffer.from('160000 a\0'), Buffer.from(commit, 'hex')]);
  const written = new Map<string, number>();
  const deps = {
    dir: '/m',
    maxDownloadBytes,
    tree: async () => await Promise.resolve(parseExactTree(link)),
    raw: async () => await Promise.resolve(Buffer.from(`tree ${ROOT}\n\nfleet\n`)),
    has: async (oid: string) => await Promise.resolve(written.has(oid)),
    other: async (oid: string) => await Promise.resolve(objects.all.get(oid)),
    writeWhole: async (path: string, content: string | Uint8Array) => {
      const oid = path.split('/').slice(-2).join('');
      if (objects.all.has(oid)) written.set(oid, inflateSync(content).length);
      await Promise.resolve();
    },
  };
  const error = await writeWholeCommit(deps, { sha: FLEET, tree: ROOT }, [{ path: 'a', sha: commit }]).catch((reason: unknown) => reason);
  return { bytes: [...written.values()].reduce((sum, size) => sum + size, 0), error };
}

interface Folder {
  readonly files: Readonly<Record<string, number>>;
  readonly below: Readonly<Record<string, Folder>>;
}
const folder: fc.Memo<Folder> = fc.memo((depth) =>
  fc.record({
    files: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 400 }), { maxKeys: 3 }),
    below: depth <= 1 ? fc.constant({}) : fc.dictionary(fc.constantFrom('x', 'y', 'z'), folder(), { maxKeys: 3 }),
  }),
);

describe('of a submodule', () => {
  it('no more is written than the commit itself may have', async () => {
    await fc.assert(
      fc.asyncProperty(folder(4), fc.integer({ min: 50, max: 400 }), async (made, maxDownloadBytes) => {
        const objects = new Objects();
        const add = ({ files, below }: Folder): string =>
          objects.tree({
            ...Object.fromEntries(
              Object.entries(files).map(([name, size]) => [name, { mode: '100644', oid: objects.add('blob', Buffer.alloc(size, name)) }]),
            ),
            ...Object.fromEntries(Object.entries(below).map(([name, each]) => [name, { mode: '40000', oid: add(each) }])),
          });
        const tree = add(made);
        // Each object once, with its header.
        const most = maxDownloadBytes * UNPACKED_TREE_RATIO + 20 * objects.all.size;
        const { bytes, error } = await write(objects, tree, maxDownloadBytes);
        expect(bytes).toBeLessThanOrEqual(most);
        const size = [...objects.all.values()].reduce((sum, object) => sum + object.bytes.length, 0);
        expect(isFloeError(error, 'REPOSITORY_TOO_LARGE')).toBe(size > maxDownloadBytes * UNPACKED_TREE_RATIO);
      }),
    );
  });

  it('is refused with too many files, also the same one', async () => {
    const objects = new Objects();
    const oid = objects.add('blob', Buffer.from('1'));
    const tree = objects.tree(Object.fromEntries(Array.from({ length: MAX_FILES + 1 }, (_, index) => [`f${index}`, { mode: '100644', oid }])));
    expect((await write(objects, tree, DEFAULT_REPOSITORY_LIMITS.downloadBytes)).error).toMatchObject(
      tooLarge(`it has more than ${MAX_FILES} files`),
    );
  });

  it.each([
    [MAX_TREE_DEPTH - 2, false],
    [MAX_TREE_DEPTH - 1, true],
  ])('with folders in %i folders is refused: %s', async (depth, isRefused) => {
    const objects = new Objects();
    let tree = objects.tree({ f: { mode: '100644', oid: objects.add('blob', Buffer.from('1')) } });
    for (let index = 0; index < depth; index += 1) tree = objects.tree({ d: { mode: '40000', oid: tree } });
    const { error } = await write(objects, tree, DEFAULT_REPOSITORY_LIMITS.downloadBytes);
    if (isRefused) expect(error).toMatchObject(tooLarge(`it has folders in more than ${MAX_TREE_DEPTH} folders`));
    else expect(typeof error).toBe('string');
  });
});

describe('in a mirror', () => {
  const limits = { downloadBytes: 100_000, objectBytes: 1_000_000 };
  let origin: GitOrigin;
  let dir = '';
  let count = 0;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'floe-whole-'));
    origin = await startGitOrigin();
  });
  afterAll(async () => {
    await origin[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });

  interface World {
    readonly fleet: OriginRepository;
    readonly sub: OriginRepository;
    readonly mirror: LocalMirror;
    readonly folder: string;
    /** Called in the middle of a call. */
    alive: () => void;
  }
  async function world(): Promise<World> {
    count += 1;
    const [fleet, sub] = [await origin.repository(`fleet${count}`), await origin.repository(`sub${count}`)];
    const at = join(dir, `m${count}.git`);
    const nothing = (): void => undefined;
    const more = { tokenSetting: 'TOKEN', ssh: undefined, exec, warn: nothing, onProgress: nothing, onDefaultBranch: nothing };
    const made: World = {
      fleet,
      sub,
      folder: at,
      alive: nothing,
      mirror: createLocalMirror({ dir: at, url: fleet.url, branch: 'main', limits, ...more, onAlive: () => made.alive() }),
    };
    return made;
  }

  /** A commit of the fleet with one of the submodule that has so many new bytes, which cannot be packed, in files of 10,000. */
  async function commit({ fleet, sub, mirror }: World, bytes: number): Promise<{ sha: CommitSha; at: { path: string; sha: CommitSha }[] }> {
    count += 1;
    const file = (): string => randomBytes(5_000).toString('hex');
    const files = Object.fromEntries(Array.from({ length: bytes / 10_000 }, (_, index) => [`d/f${index}`, file()]));
    const made = await sub.commit(files, 'sub');
    const sha = await fleet.commit({ a: { submodule: made } }, `fleet ${count}`);
    await mirror.fetch(new AbortController().signal, undefined, undefined);
    return { sha, at: [{ path: 'a', sha: made }] };
  }

  async function loose(at: string): Promise<number[]> {
    const names = await readdir(join(at, 'objects'), { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile() && /^[0-9a-f]{38}$/.test(entry.name));
    return await Promise.all(files.map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size));
  }

  it('one that is refused leaves nothing', async () => {
    const here = await world();
    const { signal } = new AbortController();
    const { sha, at } = await commit(here, 1_000_000);
    await expect(here.mirror.wholeCommit(signal, sha, at, here.sub.bareDir)).rejects.toMatchObject(tooLarge('its files are larger'));
    expect(await loose(here.folder)).toEqual([]);
  });

  it('one that is stopped ends in the middle, and leaves nothing', async () => {
    const here = await world();
    const { sha, at } = await commit(here, 500_000);
    const stop = new AbortController();
    let steps = 0;
    here.alive = () => {
      steps += 1;
      if (steps === 20) stop.abort();
    };
    await expect(here.mirror.wholeCommit(stop.signal, sha, at, here.sub.bareDir)).rejects.toThrow('aborted');
    expect(steps).toBe(20);
    expect(await loose(here.folder)).toEqual([]);
  });

  it('many after each other leave the newest ones', async () => {
    const here = await world();
    const { signal } = new AbortController();
    let last: CommitSha | undefined;
    for (let turn = 0; turn < 8; turn += 1) {
      const { sha, at } = await commit(here, 500_000);
      last = await here.mirror.wholeCommit(signal, sha, at, here.sub.bareDir);
    }
    // Half of a file's text is what it takes.
    const sizes = await loose(here.folder);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(2 * limits.downloadBytes * UNPACKED_TREE_RATIO);
    const checked = await execInTest('git', ['-C', here.folder, 'ls-tree', '-r', '--name-only', last ?? '']);
    expect(checked.stdout.split('\n').filter((name) => name.startsWith('a/d/f'))).toHaveLength(50);
    const whole = await execInTest('git', ['-C', here.folder, 'rev-list', '--objects', last ?? '']);
    expect(whole.exitCode, whole.stderr).toBe(0);
  });
});
