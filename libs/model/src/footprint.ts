/** What there is at a path of a commit. */
export type NodeKind = 'file' | 'executable' | 'link' | 'folder' | 'submodule';

/** How a path differs between two commits. A folder is one that is there in one of them alone, or is something else in the other. */
export interface NodeChange {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  /** Undefined: it is not there. */
  readonly before: NodeKind | undefined;
  readonly after: NodeKind | undefined;
}

/** The root of the repository. */
const ROOT = '.';

/**
 * What an evaluation took of the repository, as a text: `read PATH`, the content of a file or the target of a link; `kind PATH`, whether and as what it
 * is there; `list PATH`, the names and kinds in a folder. PATH of the root is `.`.
 */
export type Look = `${'read' | 'kind' | 'list'} ${string}`;

export function lookOf(kind: 'read' | 'kind' | 'list', path: string): Look {
  return `${kind} ${path === '' ? ROOT : path}`;
}

/** Git gives files other contents by these, without a change of theirs. */
const DECIDES_ON_OTHERS = new Set(['.gitattributes', '.gitmodules']);

/** What looks would find something else after the change. 'all': nothing is known. */
export function changedLooks(changes: readonly NodeChange[]): ReadonlySet<Look> | 'all' {
  const looks = new Set<Look>();
  for (const { path, before, after } of changes) {
    if (DECIDES_ON_OTHERS.has(path.split('/').at(-1) ?? '')) return 'all';
    looks.add(lookOf('read', path));
    if (seenAs(before) === seenAs(after)) continue;
    looks.add(lookOf('kind', path));
    looks.add(lookOf('list', path));
    looks.add(lookOf('list', path.split('/').slice(0, -1).join('/')));
  }
  return looks;
}

/** The kinds that Nix tells apart. */
function seenAs(kind: NodeKind | undefined): 'regular' | 'symlink' | 'directory' | undefined {
  if (kind === 'file' || kind === 'executable') return 'regular';
  if (kind === 'link') return 'symlink';
  return kind === undefined ? undefined : 'directory';
}
