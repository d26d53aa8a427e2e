import { statfs } from 'node:fs/promises';

/** File systems in memory: tmpfs and ramfs. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** True when what is at `path` is lost with the next start of the machine. */
export async function isInMemory(path: string): Promise<boolean> {
  return IN_MEMORY.has((await statfs(path)).type >>> 0);
}
