import { COMMIT_ADDRESS, TREE_ADDRESS } from '@floe/model';
import { nixString } from '@floe/runtime';

/** The address by which Nix reads the files: of a tree, and of a commit with its submodules, the commit that was made of it. */
export function gitAddress(address: string): string {
  return address.replace(/#.*$/s, '');
}

/** The commit whose id the outputs see, where that is not the one of the address. */
function commitOf(address: string): string | undefined {
  const [, sha] = address.split(COMMIT_ADDRESS);
  return sha !== undefined && /^[0-9a-f]{40}$/.test(sha) ? sha : undefined;
}

/**
 * The Nix expression of the flake at an address. A tree has its flake at the root (Nix 2.8 knows no folder of a path), and no commit: no `self.rev`, and the
 * first second of 1970 as its date. A commit with its submodules has its own id and date. Either's `outPath` and `narHash` are those of its files.
 */
export function flakeAt(address: string): string {
  const url = gitAddress(address);
  if (url === address) return `(builtins.getFlake ${nixString(url)})`;
  const commit = commitOf(address);
  if (commit === undefined && !address.endsWith(TREE_ADDRESS)) throw new Error(`${address} is no address of a flake`);
  const origin =
    commit === undefined ? 'lastModified=1' : `rev=${commit}&revCount=\${toString (tree.revCount)}&lastModified=\${toString tree.lastModified}`;
  return `(let
    tree = builtins.fetchTree ${nixString(url)};
    hash = builtins.replaceStrings [ "+" ] [ "%2B" ] tree.narHash;
  in builtins.getFlake (builtins.unsafeDiscardStringContext "path:\${tree.outPath}?${origin}&narHash=\${hash}"))`;
}

/** The beginning of an expression in which `folder` is the flake's folder. */
export function folderOf(flakeUrl: string): string {
  const [base = '', query = ''] = gitAddress(flakeUrl).split('?');
  const parameters = new URLSearchParams(query);
  const folder = parameters.get('dir');
  parameters.delete('dir');
  const url = `${base}?${parameters.toString().replaceAll('%2F', '/')}`;
  return `let folder = "\${builtins.fetchTree ${nixString(url)}}" + ${nixString(folder === null ? '' : `/${folder}`)}; in`;
}
