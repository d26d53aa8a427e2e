import { nixString } from '@floe/runtime';
import { folderOf } from './flake-address.ts';
import { attributePath } from './hosts-attribute.ts';

/** A path of plain names from the root of the repository, such as `nix/hosts.nix`. It becomes part of an expression. */
export const HOSTS_FILE_FORM = /^(?!-)[\w+-][\w.+-]{0,99}(?:\/(?!-)[\w+-][\w.+-]{0,99}){0,9}\.nix$/;

/**
 * The expression of what a file of the repository gives in place of a flake's outputs: a set that has the hosts at `attribute`, or is itself that of the
 * hosts; or a function of `{ }` to such a set. It is evaluated as purely as a flake: it sees the files of the repository, and what it fetches by a hash.
 */
export function outputsOfFile(address: string, file: string, attribute: string): string {
  const path = attributePath(attribute);
  return `(${folderOf(address)} let
    value = import (folder + ${nixString(`/${file}`)});
    given = if builtins.isFunction value then value { } else value;
  in if given ? ${path} then given else { ${path} = given; })`;
}
