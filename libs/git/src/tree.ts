import { DamagedError } from './pack/damaged.ts';
import type { TreeEntry } from './path-changes.ts';

/** An entry with its name as it is: one that is no UTF-8 cannot be made of `path` again. */
export interface ExactEntry extends TreeEntry {
  readonly name: Buffer;
}

/** The entries of a tree object: `mode SP name NUL id`, in git's order. */
export function parseTree(bytes: Buffer): TreeEntry[] {
  return parseExactTree(bytes).map(({ mode, type, path, oid }) => ({ mode, type, path, oid }));
}

export function parseExactTree(bytes: Buffer): ExactEntry[] {
  const entries: ExactEntry[] = [];
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const zero = space < 0 ? -1 : bytes.indexOf(0, space);
    if (zero < 0 || zero + 21 > bytes.length) throw new DamagedError('a tree ends within an entry');
    const mode = bytes.toString('latin1', at, space).padStart(6, '0');
    const type = mode.startsWith('04') ? 'tree' : mode === '160000' ? 'commit' : 'blob';
    const name = bytes.subarray(space + 1, zero);
    entries.push({ mode, type, name, path: name.toString('utf8'), oid: bytes.toString('hex', zero + 1, zero + 21) });
    at = zero + 21;
  }
  return entries;
}
