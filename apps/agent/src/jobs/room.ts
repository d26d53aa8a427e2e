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
 * Whether there is too little room, with what is `wanted` or without. How much of a closure is here already only Nix and
 * the cache know, and they are asked only when it matters.
 */
export async function lackOfRoom({ machine, settings }: RoomDeps, wanted?: Wanted): Promise<AgentDetail | null> {
  const free = await machine.freeBytes();
  let needed = settings.minFreeBytes;
  if (wanted !== undefined && free >= needed && free < needed + wanted.closureSizeBytes) {
    const { toplevel, signal, closureSizeBytes } = wanted;
    needed += (await machine.missingBytes(toplevel, { substituters: settings.substituters, signal })) ?? closureSizeBytes;
  }
  if (free >= needed) return null;
  return { code: 'DISK_FULL', message: `only ${megabytes(free)} are free, ${megabytes(needed)} are needed: make room and it goes on by itself` };
}

/** For people. */
export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MB`;
}
