import { statfs } from 'node:fs/promises';

/** Free bytes for an ordinary user where `path` is. */
export async function freeBytesAt(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
