import { execFileSync } from 'node:child_process';
import { chmod, link, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFileDurably, writePublicFile } from './replace-file.ts';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-replace-'));
});
afterEach(async () => await rm(dir, { recursive: true }));

const NAME = '.floe-00000000deadbeef.tmp';
const TEXT = 'what Floe writes\n';

const WRITERS = {
  durably: async (path: string, name?: () => string) => await writeFileDurably(path, TEXT, 0o600, name),
  public: async (path: string, name?: () => string) => await writePublicFile(path, TEXT, name),
} as const;

/** What another user of a shared folder may put where Floe writes. */
const PLANTS = ['nothing', 'link to a file', 'link to a folder', 'link to nothing', 'hard link', 'pipe', 'folder', 'file'] as const;
type Plant = (typeof PLANTS)[number];

async function plant(what: Plant, place: string, victims: string): Promise<void> {
  if (what === 'link to a file') await symlink(join(victims, 'secret'), place);
  if (what === 'link to a folder') await symlink(victims, place);
  if (what === 'link to nothing') await symlink(join(victims, 'new'), place);
  if (what === 'hard link') await link(join(victims, 'secret'), place);
  if (what === 'pipe') execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', place]);
  if (what === 'folder') await mkdir(place);
  // Its owner keeps it open, and would read what is written into it.
  if (what === 'file') await writeFile(place, 'planted', { mode: 0o666 });
}

/** Everything about the victims that a write may change. */
async function stateOf(victims: string): Promise<unknown> {
  const { mode, ino, uid } = await stat(join(victims, 'secret'));
  return { names: await readdir(victims), mode, ino, uid, text: await readFile(join(victims, 'secret'), 'utf8'), folder: (await stat(victims)).mode };
}

const anyPlant = fc.constantFrom(...PLANTS);

describe('a file in a folder where others may write', () => {
  it('is replaced, and nothing that a planted name leads to is touched', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('durably', 'public'),
        anyPlant,
        anyPlant,
        anyPlant,
        fc.boolean(),
        async (writer, target, pid, random, isKnown) => {
          const round = await mkdtemp(join(dir, 'round-'));
          const shared = join(round, 'shared');
          const victims = join(round, 'victims');
          await mkdir(shared);
          await chmod(shared, 0o1777);
          await mkdir(victims, { mode: 0o700 });
          await writeFile(join(victims, 'secret'), 'of the victim', { mode: 0o600 });
          const path = join(shared, 'floe.prom');
          await plant(target, path, victims);
          for (const place of [`${path}.${process.pid}.tmp`, `${path}.tmp`]) await plant(pid, place, victims);
          await plant(random, join(shared, NAME), victims);
          const before = await stateOf(victims);
          const names = new Set(await readdir(shared));

          const problem = await WRITERS[writer](path, isKnown ? () => NAME : undefined).then(
            () => undefined,
            (error: NodeJS.ErrnoException) => error.code,
          );

          expect(await stateOf(victims)).toEqual(before);
          // Somebody who knew the name could only stop the write.
          if (isKnown && random !== 'nothing') expect(problem).toBe('EEXIST');
          else if (target === 'folder') expect(problem).toBe('EISDIR');
          else {
            expect(problem).toBeUndefined();
            const written = await lstat(path);
            expect(written.isFile() && written.nlink === 1).toBe(true);
            expect(written.mode & 0o7777).toBe(writer === 'public' ? 0o644 : 0o600);
            expect(await readFile(path, 'utf8')).toBe(TEXT);
            names.add('floe.prom');
          }
          // What was planted stays as it was, and nothing of the write stays.
          expect(new Set(await readdir(shared))).toEqual(names);
          if (random === 'link to a file') expect(await readlink(join(shared, NAME))).toBe(join(victims, 'secret'));
          if (random === 'file') expect(await readFile(join(shared, NAME), 'utf8')).toBe('planted');
        },
      ),
    );
  });

  it('has another temporary name each time', async () => {
    const seen = new Set<string>();
    for (let writes = 0; writes < 20; writes += 1) {
      const path = join(dir, `in-the-way-${writes}`);
      await mkdir(path);
      // The error of the last step names both.
      const problem = await writePublicFile(path, TEXT).catch((error: NodeJS.ErrnoException) => error);
      seen.add(problem?.path ?? '');
    }
    expect(seen.size).toBe(20);
    for (const each of seen) expect(each).toMatch(/\/\.floe-[0-9a-f]{16}\.tmp$/);
  });
});

it('is for everyone or not, whatever the umask is', async () => {
  const before = process.umask(0o077);
  try {
    await writePublicFile(join(dir, 'public'), TEXT);
    process.umask(0);
    await writeFileDurably(join(dir, 'own'), TEXT);
  } finally {
    process.umask(before);
  }
  expect((await stat(join(dir, 'public'))).mode & 0o777).toBe(0o644);
  expect((await stat(join(dir, 'own'))).mode & 0o777).toBe(0o600);
});

describe('what a killed process left', () => {
  it('goes with the first write into its folder, once it is old; nothing else does', async () => {
    const hour = 3600;
    const now = Date.now() / 1000;
    const old = [NAME, '.floe-0123456789abcdef.tmp'];
    const kept = ['.floe-ffffffffffffffff.tmp', 'floe.prom.tmp', '.floe-short.tmp', '.floe-00000000deadbeef.tmp.bak'];
    const victim = join(dir, 'victim');
    await writeFile(victim, 'of the victim');
    await mkdir(join(dir, 'shared'));
    for (const name of [...old, ...kept]) {
      await writeFile(join(dir, 'shared', name), '');
      if (name !== '.floe-ffffffffffffffff.tmp') await utimes(join(dir, 'shared', name), now - hour, now - hour);
    }
    // A clock that was wrong is no reason to keep one forever.
    await utimes(join(dir, 'shared', NAME), now + hour, now + hour);
    const folder = '.floe-1111111111111111.tmp';
    await mkdir(join(dir, 'shared', folder));
    await utimes(join(dir, 'shared', folder), now - hour, now - hour);

    await writePublicFile(join(dir, 'shared/floe.prom'), TEXT);
    expect(new Set(await readdir(join(dir, 'shared')))).toEqual(new Set([...kept, folder, 'floe.prom']));
    expect(await readFile(victim, 'utf8')).toBe('of the victim');
  });
});
