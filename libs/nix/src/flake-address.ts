import { TREE_ADDRESS } from '@floe/model';
import { nixString } from '@floe/runtime';

/** The address by which Nix reads the files; of a tree, the commit that was made of it. */
export function gitAddress(address: string): string {
  return address.endsWith(TREE_ADDRESS) ? address.slice(0, -TREE_ADDRESS.length) : address;
}

/**
 * The Nix expression of the flake at an address. A tree has its flake at the root (Nix 2.8 knows no folder of a path), and no commit: no `self.rev`, and the
 * first second of 1970 as its date. Its `outPath` and `narHash` are those of its files.
 */
export function flakeAt(address: string): string {
  const url = gitAddress(address);
  if (url === address) return `(builtins.getFlake ${nixString(url)})`;
  return `(let
    tree = builtins.fetchTree ${nixString(url)};
    hash = builtins.replaceStrings [ "+" ] [ "%2B" ] tree.narHash;
  in builtins.getFlake (builtins.unsafeDiscardStringContext "path:\${tree.outPath}?lastModified=1&narHash=\${hash}"))`;
}
