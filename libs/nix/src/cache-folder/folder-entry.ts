import { storeHash } from '@floe/model';
import { parseNarinfo, STORE_NAME } from '../narinfo.ts';

/** A path that `nix copy` wrote to a folder. */
export interface FolderEntry {
  readonly storePath: string;
  /** The file with the content, below the cache's folder. */
  readonly archive: string;
  /** The hashes of the paths that it refers to. */
  readonly references: readonly string[];
}

const ARCHIVE = /^nar\/[0-9a-z]{52}\.nar(\.[a-z0-9]{1,8})?$/;

/** Undefined: its narinfo is torn, or of another kind than `nix copy` writes to a folder. */
export function parseFolderEntry(text: string, hash: string): FolderEntry | undefined {
  const narinfo = parseNarinfo(text, hash);
  if (narinfo === undefined || !text.endsWith('\n') || !ARCHIVE.test(narinfo.url)) return undefined;
  return { storePath: narinfo.storePath, archive: narinfo.url, references: narinfo.references.map(storeHash) };
}

/** The hash in a store path's name. Undefined: it is none. */
export function hashOfPath(path: string): string | undefined {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return STORE_NAME.test(name) ? name.slice(0, 32) : undefined;
}
