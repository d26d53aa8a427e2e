import { realpath, stat, statfs } from 'node:fs/promises';
import type { StorePath } from '@floe/model';

/** For boot entries and the file system itself, in bytes. */
const MARGIN_BYTES = 4 * 1024 * 1024;

/**
 * How much space the boot partition lacks for the kernel and the initrd of `next`, in bytes. Those of the booted system are
 * there already. 0 where `mountPoint` is no partition of its own: the check of the store's free space covers it.
 */
export async function bootBytesLacking(of: {
  readonly mountPoint: string;
  readonly next: StorePath;
  readonly booted: StorePath | null;
}): Promise<number> {
  const { mountPoint, next, booted } = of;
  const [boot, root] = await Promise.all([stat(mountPoint).catch(() => undefined), stat('/')]);
  if (boot === undefined || boot.dev === root.dev) return 0;
  let needed = 0;
  for (const part of ['kernel', 'initrd']) {
    const file = await realpath(`${next}/${part}`).catch(() => undefined);
    if (file === undefined) continue;
    const before = booted === null ? undefined : await realpath(`${booted}/${part}`).catch(() => undefined);
    if (file !== before) needed += (await stat(file)).size;
  }
  if (needed === 0) return 0;
  const { bavail, bsize } = await statfs(mountPoint);
  return needed + MARGIN_BYTES - bavail * bsize;
}
