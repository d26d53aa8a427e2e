import { access, mkdir, open, readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { FloeError, isFloeError } from '@floe/runtime';

/** Free space to create a database, and one segment of its log with room to work; in bytes. */
const ROOM_BYTES = 64 * 1024 ** 2;
/** With less free space it is not opened: each try takes memory that is released late. */
const HOPELESS_BYTES = 1024 ** 2;

/** The codes of a full disk: Node's, Emscripten's numbers (wasi errno), Postgres' SQLSTATE. */
const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 51, 19, '53100']);

/**
 * Opens the embedded database in a separate folder, and creates it at first. When PGlite fails (mostly with a WebAssembly trace),
 * the cause is looked up and reported in one sentence: throws `FloeError('DISK_FULL')` (retryable),
 * `FloeError('STORE_UNWRITABLE')` or `FloeError('STORE_DAMAGED')`.
 */
export async function openEmbedded(dataDir: string): Promise<PGlite> {
  try {
    const isNew = await prepare(dataDir);
    if ((await freeBytes(dataDir)) < HOPELESS_BYTES) throw noRoom(dataDir);
    const client = await PGlite.create({ dataDir });
    if (isNew) await rm(markerOf(dataDir), { force: true });
    return client;
  } catch (error) {
    throw await judge(error, dataDir);
  }
}

/** Exists beside the folder while its database is being created. */
function markerOf(dataDir: string): string {
  return `${resolve(dataDir)}.unfinished`;
}

/** Whether the database must be created. A folder whose creation was interrupted holds nothing, and is removed. */
async function prepare(dataDir: string): Promise<boolean> {
  const marker = markerOf(dataDir);
  const isUnfinished = await access(marker).then(
    () => true,
    () => false,
  );
  if (isUnfinished) await rm(dataDir, { recursive: true, force: true });
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const isNew = (await readdir(dataDir)).length === 0;
  if (isNew) await writeFile(marker, '', { mode: 0o600 });
  // PGlite takes a folder without this file for empty, and would create a new database over its content.
  else if (((await stat(join(dataDir, 'PG_VERSION')).catch(() => undefined))?.size ?? 0) === 0) throw damaged(dataDir, 'it has no PG_VERSION');
  return isNew;
}

/** Infinity where it is unknown. */
async function freeBytes(dataDir: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(dataDir);
    return bavail * bsize;
  } catch {
    return Infinity;
  }
}

/** The cause of an error of the embedded database in `dataDir`. A FloeError is returned unchanged. */
export async function judge(cause: unknown, dataDir: string): Promise<FloeError> {
  if (isFloeError(cause)) return cause;
  const why = causesOf(cause);
  if (why.some(({ code }) => FULL.has(code)) || (await freeBytes(dataDir)) < HOPELESS_BYTES) return noRoom(dataDir);
  const refusal = await refusalOf(dataDir);
  if (refusal !== undefined) {
    return new FloeError(
      'STORE_UNWRITABLE',
      `the embedded database in ${dataDir} cannot be written (${refusal}): it must belong to the user that floe-server runs as, on a disk that takes writes`,
      { data: { folder: dataDir } },
    );
  }
  return damaged(dataDir, why.at(-1)?.message ?? 'no reason was given');
}

function causesOf(thrown: unknown): { readonly code: unknown; readonly message: string }[] {
  const causes: { readonly code: unknown; readonly message: string }[] = [];
  for (let current: unknown = thrown; current instanceof Error || isErrno(current); current = 'cause' in current ? current.cause : undefined) {
    const code: unknown = 'code' in current ? current.code : 'errno' in current ? current.errno : undefined;
    causes.push({ code, message: current instanceof Error ? current.message.slice(0, 200) : '' });
    if (causes.length > 5) break;
  }
  return causes;
}

/** Emscripten's file system errors are not `Error`s. */
function isErrno(error: unknown): error is { readonly errno: number } {
  return typeof error === 'object' && error !== null && 'errno' in error && typeof error.errno === 'number';
}

/** Tries to write; returns the code of the first failure. */
async function refusalOf(dataDir: string): Promise<string | undefined> {
  const probe = join(dataDir, '.floe-probe');
  try {
    const file = await open(probe, 'w', 0o600);
    await file.close();
    await rm(probe);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown error';
  }
}

function noRoom(dataDir: string): FloeError {
  return new FloeError(
    'DISK_FULL',
    `the disk is full: the embedded database in ${dataDir} needs ${ROOM_BYTES / 1024 ** 2} MiB of room; floe-server continues when there is`,
    { retryable: true, data: { folder: dataDir } },
  );
}

function damaged(dataDir: string, why: string): FloeError {
  return new FloeError(
    'STORE_DAMAGED',
    `the embedded database in ${dataDir} is damaged and cannot be opened: stop floe-server, move this folder away, and put the newest backup of it there. ` +
      'Without a backup start without it: hosts, releases and enrolments come back from the statement log (docs/operate.md, Backups)',
    { data: { folder: dataDir, why } },
  );
}
