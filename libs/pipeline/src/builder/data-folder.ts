import { randomUUID } from 'node:crypto';
import { FloeError, processOf, readFileIfPresent, takeProcessLock, writeFileDurably } from '@floe/runtime';
import type { Program } from './setting-names.ts';

/** Two servers in one data folder would write to one mirror and take each other's leases. */
export async function lockDataFolder(dataDir: string, path: string, program: Program): Promise<AsyncDisposable> {
  const taken = await takeProcessLock(path);
  if (taken.kind === 'taken') return taken.lock;
  throw new FloeError('DATA_FOLDER_IN_USE', `another ${program}${processOf(taken)} uses ${dataDir}: stop it, or set another FLOE_DATA_DIR`);
}

/** The same at each start, so that a server that was killed renews its own lease immediately. */
export async function loadOrCreateInstanceId(path: string): Promise<string> {
  const existing = (await readFileIfPresent(path))?.trim();
  if (existing !== undefined && existing !== '') return existing;
  const id = randomUUID();
  await writeFileDurably(path, id);
  return id;
}
