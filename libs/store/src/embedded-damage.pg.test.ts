import { cp, mkdtemp, open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest, type ExecResult } from '@floe/runtime';
import { eventually, placeEmbeddedDatabase } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStore } from './open.ts';
import type { Store } from './store.ts';
import { MIGRATIONS_DIR, newRepository, storeDeps } from './test/test-store.ts';

/** Only root can make a disk that is small enough to fill. */
const mayMount = process.getuid?.() === 0;
const numRuns = Number(process.env['FLOE_TEST_RUNS'] ?? 3);

let dir: string;
/** A sound database, and the files in it. */
let sound: string;
let files: string[];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-damage-'));
  sound = join(dir, 'sound');
  await placeEmbeddedDatabase(sound);
  await using store = await openStore({ kind: 'pglite', dataDir: sound }, storeDeps());
  await newRepository(store);
  await store[Symbol.asyncDispose]();
  const entries = await readdir(sound, { recursive: true, withFileTypes: true });
  files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(sound.length + 1));
});
afterAll(async () => await rm(dir, { recursive: true, force: true }));

/** Opens the database as a server would, and returns the result. */
const OPENER = `
import { openStore } from ${JSON.stringify(join(import.meta.dirname, 'open.ts'))};
import { describeError, isFloeError, silentLogger, systemClock } from ${JSON.stringify(join(import.meta.dirname, '../../runtime/src/index.ts'))};
try {
  const deps = { clock: systemClock, logger: silentLogger, migrationsDir: ${JSON.stringify(MIGRATIONS_DIR)} };
  const store = await openStore({ kind: 'pglite', dataDir: process.argv[1] }, deps);
  await store[Symbol.asyncDispose]();
  console.log('opened');
} catch (error) {
  console.log(isFloeError(error) ? error.code + ' ' + describeError(error) : 'RAW ' + String(error?.stack ?? error));
}
`;

async function openIt(dataDir: string): Promise<ExecResult> {
  return await execInTest(process.execPath, ['--input-type=module', '-e', OPENER, dataDir], { timeoutMs: 120_000 });
}

type Damage = 'removed' | 'emptied' | 'cut' | 'zeroed' | 'flipped';

async function damage(path: string, how: Damage, where: number): Promise<void> {
  const { size } = await stat(path);
  const at = Math.floor(where * size);
  if (how === 'removed') return await rm(path);
  if (how === 'emptied') return await truncate(path, 0);
  if (how === 'cut') return await truncate(path, at);
  const file = await open(path, 'r+');
  try {
    const piece = Buffer.alloc(Math.min(8192, size - at));
    if (how === 'flipped') {
      await file.read(piece, 0, piece.length, at);
      for (let index = 0; index < piece.length; index += 1) piece[index] = (piece[index] ?? 0) ^ 0xff;
    }
    await file.write(piece, 0, piece.length, at);
  } finally {
    await file.close();
  }
}

describe('a folder with damaged files', () => {
  test(
    'opens, or is said to be damaged, with what to do; never a trace, never a hang',
    async () => {
      const file = fc.oneof(
        fc.constantFrom(
          'global/pg_control',
          'pg_wal/000000010000000000000001',
          'base/5/1259',
          'global/1262',
          'PG_VERSION',
          'postgresql.conf',
          'pg_hba.conf',
        ),
        fc.nat(files.length - 1).map((index) => files[index] ?? ''),
      );
      const change = fc.record({
        file,
        how: fc.constantFrom<Damage>('removed', 'emptied', 'cut', 'zeroed', 'flipped'),
        where: fc.double({ min: 0, max: 0.99, noNaN: true }),
      });
      let round = 0;
      await fc.assert(
        fc.asyncProperty(fc.uniqueArray(change, { selector: (each) => each.file, minLength: 1, maxLength: 3 }), async (changes) => {
          const dataDir = join(dir, `damaged${(round += 1)}`);
          await cp(sound, dataDir, { recursive: true });
          for (const each of changes) await damage(join(dataDir, each.file), each.how, each.where);
          const { stdout, stderr, ...ended } = await openIt(dataDir);
          await rm(dataDir, { recursive: true });
          expect({ ...ended, said: stdout.trim() }).toMatchObject({
            exitCode: 0,
            said: expect.stringMatching(/^(opened|STORE_DAMAGED .*move this folder away)/) as string,
          });
          expect(stderr).not.toMatch(/^\s+at /m);
        }),
        { numRuns, endOnFailure: true },
      );
    },
    60_000 + numRuns * 60_000,
  );

  test('without the file that names its version: is not taken for a new one', async () => {
    const dataDir = join(dir, 'without');
    await cp(sound, dataDir, { recursive: true });
    await rm(join(dataDir, 'PG_VERSION'));
    const { stdout } = await openIt(dataDir);
    expect(stdout).toMatch(/^STORE_DAMAGED /);
    await rm(dataDir, { recursive: true });
  });

  test('whose making was cut short: is recreated', async () => {
    const dataDir = join(dir, 'unfinished');
    await cp(sound, dataDir, { recursive: true });
    await rm(join(dataDir, 'global/pg_control'));
    await writeFile(`${dataDir}.unfinished`, '');
    expect((await openIt(dataDir)).stdout).toBe('opened\n');
    await expect(stat(`${dataDir}.unfinished`)).rejects.toMatchObject({ code: 'ENOENT' });
    await rm(dataDir, { recursive: true });
  });
});

describe.skipIf(!mayMount)('a disk', () => {
  async function onDisk(size: string, use: (disk: string, resize: (size: string) => Promise<void>) => Promise<void>): Promise<void> {
    const disk = await mkdtemp(join(dir, 'disk-'));
    const mount = async (...args: string[]): Promise<void> => {
      const mounted = await execInTest('mount', args);
      expect(mounted.exitCode, mounted.stderr).toBe(0);
    };
    await mount('-t', 'tmpfs', '-o', `size=${size}`, 'floe-test', disk);
    try {
      await use(disk, async (bigger) => await mount('-o', `remount,size=${bigger}`, disk));
    } finally {
      await execInTest('umount', ['--lazy', disk]);
    }
  }

  test('that is full when the database is made: it is said, and the database is made when there is room', async () => {
    await onDisk('20m', async (disk, resize) => {
      expect((await openIt(join(disk, 'database'))).stdout).toMatch(/^DISK_FULL the disk is full: .*64 MiB/);
      await resize('90m');
      expect((await openIt(join(disk, 'database'))).stdout).toBe('opened\n');
    });
  });

  test('that is full when the database is opened: it is said, and nothing is lost', async () => {
    await onDisk('60m', async (disk, resize) => {
      await cp(sound, join(disk, 'database'), { recursive: true });
      await writeFile(join(disk, 'fill'), Buffer.alloc(60 * 1024 ** 2)).catch(() => undefined);
      expect((await openIt(join(disk, 'database'))).stdout).toMatch(/^DISK_FULL /);
      await resize('90m');
      expect((await openIt(join(disk, 'database'))).stdout).toBe('opened\n');
    });
  });

  test('that fills up while the database is in use: writes fail as ones that are tried again, and go through when there is room', async () => {
    await onDisk('70m', async (disk, resize) => {
      await cp(sound, join(disk, 'database'), { recursive: true });
      await using store = await openStore({ kind: 'pglite', dataDir: join(disk, 'database') }, storeDeps());
      await eventually('there is no room', async () => await fill(store).then(() => undefined, isPassing), { everyMs: 0, timeoutMs: 60_000 });
      await resize('200m');
      await fill(store);
      await newRepository(store);
    });
  });
});

let filled = 0;
async function fill(store: Store): Promise<void> {
  filled += 1;
  // Nothing that can be packed smaller.
  const detail = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('base64');
  await store.audit.append({ at: filled, actor: 'test', action: 'fill', subject: 'disk', detail });
}

function isPassing(error: unknown): true {
  expect(error).toMatchObject({ retryable: true });
  return true;
}
