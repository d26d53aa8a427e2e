import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execInTest } from '@floe/runtime';

/**
 * Databases without rows, which were made once. A new one costs seconds of processor time, a copy a tenth of that, and hundreds of tests need
 * one. Vitest's set-up names the folder; without it (demo, bench) every database is created.
 */
const FOLDER = 'FLOE_TEST_DATABASES';

/** Where the run keeps its prepared databases; undefined: it does not. */
export function preparedFolder(): string | undefined {
  return process.env[FOLDER];
}

/** The folder of a server's embedded database that is not there yet, as a copy of the prepared one. */
export async function placeEmbeddedDatabase(folder: string): Promise<void> {
  const prepared = preparedFolder();
  if (prepared === undefined || (await exists(folder))) return;
  await mkdir(dirname(folder), { recursive: true, mode: 0o700 });
  await copyFolder(join(prepared, 'embedded'), folder);
}

/**
 * A new cluster of Postgres in `target`, as a copy of the one that the first caller makes by `initdb`. With the same owner and modes,
 * because Postgres asks for them.
 */
export async function placeCluster(program: string, target: string, initdb: () => Promise<void>): Promise<void> {
  const prepared = preparedFolder();
  if (prepared === undefined) return await initdb();
  const { mtimeMs } = await stat(program);
  const kept = join(prepared, `postgres-${createHash('sha256').update(`${program} ${mtimeMs}`).digest('hex').slice(0, 16)}`);
  if (await exists(kept)) return await copyFolder(kept, target);
  await initdb();
  await keep(kept, async (made) => await copyFolder(target, made));
}

/** Makes what is kept beside its place, and puts it there at once: of two who do so, one is a moment too late. */
export async function keep(place: string, make: (place: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(place), { recursive: true });
  const temporary = await mkdtemp(`${place}.`);
  try {
    await make(join(temporary, 'made'));
    await rename(join(temporary, 'made'), place).catch(async (error: unknown) => {
      if (!(await exists(place))) throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function copyFolder(from: string, to: string): Promise<void> {
  const copied = await execInTest('cp', ['-a', from, to]);
  if (copied.exitCode !== 0) throw new Error(`cp failed: ${copied.stderr.trim()}`);
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
