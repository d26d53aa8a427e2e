import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sync } from './files.ts';

/** Hidden, and not made from the name of the file: a folder's leftovers are known by it, and a long name gets no longer. */
const TEMPORARY = /^\.floe-[0-9a-f]{16}\.tmp$/;
const randomName = (): string => `.floe-${randomBytes(8).toString('hex')}.tmp`;

/** No write takes so long. */
const LEFT_OVER_AFTER_MS = 600_000;

/** A process leaves at most what it wrote when it was killed, so it is enough that the next one looks once in each folder. */
const lookedIn = new Set<string>();

/**
 * Replaces a file atomically, so that a power failure leaves the old or the new content: writes a temporary file, fsyncs it,
 * renames it, fsyncs the folder. Creates the folder when missing. The umask may take from `mode`.
 * Others may write into the folder: a name that is there is never followed, written to or given another mode.
 */
export async function writeFileDurably(path: string, content: string | Uint8Array, mode = 0o600, temporaryName = randomName): Promise<void> {
  await replaceFile(path, content, { mode, isExact: false, temporaryName });
}

/** The same for a file that everyone on the machine may read, whatever the umask is. */
export async function writePublicFile(path: string, content: string, temporaryName = randomName): Promise<void> {
  await replaceFile(path, content, { mode: 0o644, isExact: true, temporaryName });
}

interface Replacing {
  readonly mode: number;
  /** Whatever the umask is. */
  readonly isExact: boolean;
  readonly temporaryName: () => string;
}

async function replaceFile(path: string, content: string | Uint8Array, { mode, isExact, temporaryName }: Replacing): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  await removeLeftovers(folder);
  const temporary = join(folder, temporaryName());
  // `x` makes the file or fails, also where a link leads to nothing. From here on the file has no other name that counts.
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      // By the handle: the path may be another file by now.
      if (isExact) await file.chmod(mode);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // Especially on a full disk the temporary file must not stay.
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await sync(folder);
}

/** Removes what killed processes left in a folder. It is no reason not to write. */
async function removeLeftovers(folder: string): Promise<void> {
  if (lookedIn.has(folder)) return;
  lookedIn.add(folder);
  for (const name of (await readdir(folder).catch(() => [])).filter((each) => TEMPORARY.test(each))) {
    const leftover = join(folder, name);
    // One from the future was written with a wrong clock.
    const isOld = await lstat(leftover).then(
      ({ mtimeMs }) => Math.abs(Date.now() - mtimeMs) > LEFT_OVER_AFTER_MS,
      () => false,
    );
    // Of a link, only the link.
    if (isOld) await unlink(leftover).catch(() => undefined);
  }
}
