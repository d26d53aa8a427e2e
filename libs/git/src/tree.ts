import { DamagedError } from './pack/damaged.ts';
import type { TreeEntry } from './path-changes.ts';

/** The entries of a tree object: `mode SP name NUL id`, in git's order. */
export function parseTree(bytes: Buffer): TreeEntry[] {
  const entries: TreeEntry[] = [];
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const zero = space < 0 ? -1 : bytes.indexOf(0, space);
    if (zero < 0 || zero + 21 > bytes.length) throw new DamagedError('a tree ends within an entry');
    const mode = bytes.toString('latin1', at, space).padStart(6, '0');
    const type = mode.startsWith('04') ? 'tree' : mode === '160000' ? 'commit' : 'blob';
    entries.push({ mode, type, path: bytes.toString('utf8', space + 1, zero), oid: bytes.toString('hex', zero + 1, zero + 21) });
    at = zero + 21;
  }
  return entries;
}
