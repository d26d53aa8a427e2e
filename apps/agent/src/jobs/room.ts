import type { AgentDetail, StorePath } from '@floe/model';
import type { Machine } from '../machines/machine.ts';

export interface RoomDeps {
  readonly machine: Machine;
  readonly settings: { readonly minFreeBytes: number; readonly substituters: readonly string[] };
}

interface Wanted {
  readonly toplevel: StorePath;
  readonly closureSizeBytes: number;
  readonly signal: AbortSignal;
}

/**
 * Whether there is too little free space, with the download of `wanted` or without. Nix and the caches know how much of a
 * closure is missing; they are asked only when that decides.
 */
export async function lackOfRoom({ machine, settings }: RoomDeps, wanted?: Wanted): Promise<AgentDetail | null> {
  const free = await machine.freeBytes();
  let needed = settings.minFreeBytes;
  if (wanted !== undefined && free >= needed && free < needed + wanted.closureSizeBytes) {
    const { toplevel, signal, closureSizeBytes } = wanted;
    needed += (await machine.missingBytes(toplevel, { substituters: settings.substituters, signal })) ?? closureSizeBytes;
  }
  if (free >= needed) return null;
  return {
    code: 'DISK_FULL',
    message: `only ${megabytes(free)} are free, ${megabytes(needed)} are needed: free some space, and the agent continues by itself`,
  };
}

/** For messages. */
export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MB`;
}
