/** What Floe needs of a `.narinfo` (nixos.org, "Binary cache"). */
export interface Narinfo {
  readonly storePath: string;
  /** The file with the content, below the cache's folder. */
  readonly archive: string;
  /** The hashes of the paths that it refers to. */
  readonly references: readonly string[];
}

const NAME = /^(?<hash>[0-9a-z]{32})-[\w+.?=-]{1,211}$/;
const ARCHIVE = /^nar\/[0-9a-z]{52}\.nar(\.[a-z0-9]{1,8})?$/;

/** Undefined: it is torn, or of another kind than `nix copy` writes to a folder. */
export function parseNarinfo(text: string, hash: string): Narinfo | undefined {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(': ');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 2).trim());
    else if (line.endsWith(':')) fields.set(line.slice(0, -1), '');
  }
  const storePath = fields.get('StorePath') ?? '';
  const archive = fields.get('URL') ?? '';
  // The last field that Nix writes before the signatures: one that was torn has lost it.
  const listed = fields.get('References');
  if (listed === undefined || !text.endsWith('\n') || !ARCHIVE.test(archive) || hashOfPath(storePath) !== hash) return undefined;
  const references = listed === '' ? [] : listed.split(' ').map((name) => NAME.exec(name)?.groups?.['hash']);
  if (references.includes(undefined)) return undefined;
  return { storePath, archive, references: references.filter((each) => each !== undefined) };
}

/** The hash in a store path's name. Undefined: it is none. */
export function hashOfPath(path: string): string | undefined {
  return NAME.exec(path.slice(path.lastIndexOf('/') + 1))?.groups?.['hash'];
}
