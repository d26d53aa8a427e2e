import { nixString } from '@floe/runtime';
import { randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import type { RepositoryCommand } from './command.ts';

/** Whether Nix works, as tested just now. */
export type Health =
  | { readonly kind: 'well' }
  | { readonly kind: 'disk-full'; readonly folder: string; readonly freeBytes: number }
  /** The store accepts no writes, or its daemon does not answer. */
  | { readonly kind: 'store-away' };

/** Below this a disk counts as full: an archive or a few more derivations do not fit. Nix's own limit is 8 MB. */
const LEAST_FREE_BYTES = 16 * 1024 ** 2;
const LEAST_FREE_FILES = 500;
const PROBE_TIMEOUT_MS = 60_000;

/**
 * Tests whether the store accepts a small text, and whether its disk and those of Nix's caches and temporary files have space.
 * Used after a failure, so that the error text, which the repository may have written, does not decide whether this server is at
 * fault.
 */
export async function probeHealth(command: RepositoryCommand): Promise<Health> {
  const room = await probeRoom(command.writtenFolders);
  if (room.kind !== 'well') return room;
  // A new text each time, because one that is in the store is not written again.
  const add = ['eval', '--raw', '--expr', `builtins.toFile "floe-probe" ${nixString(randomUUID())}`];
  const { isOk } = await command.run('nix', add, { timeoutMs: PROBE_TIMEOUT_MS });
  return isOk ? { kind: 'well' } : { kind: 'store-away' };
}

/** Checks whether the disks of these folders have space. */
export async function probeRoom(folders: readonly string[]): Promise<Extract<Health, { kind: 'well' | 'disk-full' }>> {
  for (const folder of folders) {
    const freeBytes = await freeBytesOf(folder);
    if (freeBytes < LEAST_FREE_BYTES) return { kind: 'disk-full', folder, freeBytes };
  }
  return { kind: 'well' };
}

/** Free bytes for this user; 0 when no more files can be created. A missing folder limits nothing. */
async function freeBytesOf(folder: string): Promise<number> {
  const disk = await statfs(folder).catch(() => undefined);
  if (disk === undefined) return Number.POSITIVE_INFINITY;
  // File systems without a fixed number of files report 0 of 0.
  if (disk.files > 0 && disk.ffree < LEAST_FREE_FILES) return 0;
  return disk.bavail * disk.bsize;
}
