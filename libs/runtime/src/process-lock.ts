import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';

/** The kernel's name of this boot. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

export type ProcessLock =
  | { readonly kind: 'taken'; readonly lock: AsyncDisposable }
  /** Another process holds the lock. `pid`: in that process's own namespace; undefined while it has not written it yet. */
  | { readonly kind: 'held'; readonly pid: string | undefined };

/** The holder of a lock, as a suffix for its name: ` (process 123)`, or empty while it is unknown. */
export function processOf({ pid }: { readonly pid: string | undefined }): string {
  return pid === undefined ? '' : ` (process ${pid})`;
}

/** SQLite's result codes (sqlite.org/rescode.html) as the errno that the file system gave. */
const ERRNO_OF: Readonly<Record<number, string>> = { 8: 'EROFS', 10: 'EIO', 13: 'ENOSPC' };
const SQLITE_BUSY = 5;

/**
 * Takes the lock at `path` for this process until it is disposed, or until the process ends, however it ends.
 * The kernel holds it: a POSIX lock on the empty file `<path>.held`. The kernel gives it to one process and releases it when that
 * process ends (killed, rebooted), also between containers that share the folder. Looking for the holder by its process id would
 * be wrong in all these cases, and would admit two processes that start at the same time. Node has no call for such locks, but
 * SQLite takes one for a write transaction. `immediate` and not `exclusive`: of many that start at the same time one gets it,
 * while two that ask for `exclusive` can both fail.
 * The file `path` itself names the holder for people, and decides nothing.
 */
export async function takeProcessLock(path: string): Promise<ProcessLock> {
  const held = `${path}.held`;
  await makeFile(held);
  const database = openDatabase(held);
  try {
    // Nothing is ever written, so no journal file is needed.
    database.exec('pragma journal_mode = memory');
    database.exec('begin immediate');
  } catch (error) {
    database.close();
    if (resultCode(error) === SQLITE_BUSY) return { kind: 'held', pid: await holderOf(path) };
    throw asFileError(error, held);
  }
  // On a full disk it stays empty.
  await writeFile(path, String(process.pid), { mode: 0o600 }).catch(() => undefined);
  return {
    kind: 'taken',
    lock: {
      async [Symbol.asyncDispose]() {
        await rm(path, { force: true });
        // The file stays: removing it would let a process that creates a new file take the lock beside one that just opened the
        // old file.
        database.close();
      },
    },
  };
}

/** Not by a plain open and close: closing any descriptor of a file releases all POSIX locks of the process on it. */
async function makeFile(path: string): Promise<void> {
  try {
    await (await open(path, 'wx', 0o600)).close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function openDatabase(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path);
  } catch (error) {
    throw asFileError(error, path);
  }
}

async function holderOf(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return /^\d+/.exec(text)?.[0];
}

function resultCode(error: unknown): number | undefined {
  // The low byte is the primary code; the others say more exactly what it was.
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
}

function asFileError(error: unknown, path: string): unknown {
  const code = ERRNO_OF[resultCode(error) ?? 0];
  return code === undefined ? error : Object.assign(new Error(`${code}: the lock ${path} cannot be taken`, { cause: error }), { code });
}
