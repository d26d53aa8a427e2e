import { realpath, stat, statfs } from 'node:fs/promises';
import type { StorePath } from '@floe/model';

/** Entries, and what file systems need for themselves, in bytes. */
const MARGIN_BYTES = 4 * 1024 * 1024;

/**
 * How much room the boot loader's disk lacks for the kernel and the initrd of `next`, in bytes. What the machine was
 * started with lies there already. 0 where `mountPoint` is no disk of its own: the store's room is looked at anyway.
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
