import { nixString } from '@floe/runtime';
import { randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import type { RepositoryCommand } from './command.ts';

/** Whether Nix can work at all, by what was tried a moment ago. */
export type Health =
  | { readonly kind: 'well' }
  | { readonly kind: 'disk-full'; readonly folder: string; readonly freeBytes: number }
  /** The store takes nothing, or its daemon does not answer. */
  | { readonly kind: 'store-away' };

/** Below it a disk is full: an archive or a few derivations more do not fit. Nix itself draws the line at 8 MB. */
const LEAST_FREE_BYTES = 16 * 1024 ** 2;
const LEAST_FREE_FILES = 500;
const PROBE_TIMEOUT_MS = 60_000;

/**
 * Looks whether the store takes a small text, and whether its disk and those of Nix's caches and temporary files have
 * room. Asked after a failure, so that nobody needs to read out of the failure's words, which may be the repository's,
 * whether this server is to blame.
 */
export async function probeHealth(command: RepositoryCommand): Promise<Health> {
  const room = await probeRoom(command.writtenFolders);
  if (room.kind !== 'well') return room;
  // A text that was added before is not written again.
  const add = ['eval', '--raw', '--expr', `builtins.toFile "floe-probe" ${nixString(randomUUID())}`];
  const { isOk } = await command.run('nix', add, { timeoutMs: PROBE_TIMEOUT_MS });
  return isOk ? { kind: 'well' } : { kind: 'store-away' };
}

/** Looks whether the disks of these folders have room. */
export async function probeRoom(folders: readonly string[]): Promise<Extract<Health, { kind: 'well' | 'disk-full' }>> {
  for (const folder of folders) {
    const freeBytes = await freeBytesOf(folder);
    if (freeBytes < LEAST_FREE_BYTES) return { kind: 'disk-full', folder, freeBytes };
  }
  return { kind: 'well' };
}

/** How much is free for this user; 0 when no more files can be made. A folder that is not there limits nothing. */
async function freeBytesOf(folder: string): Promise<number> {
  const disk = await statfs(folder).catch(() => undefined);
  if (disk === undefined) return Number.POSITIVE_INFINITY;
  // File systems without a fixed number of files say 0 of 0.
  if (disk.files > 0 && disk.ffree < LEAST_FREE_FILES) return 0;
  return disk.bavail * disk.bsize;
}
