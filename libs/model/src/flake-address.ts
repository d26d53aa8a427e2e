/**
 * The end of a flake's address by which a commit is evaluated as a tree: by the hash of its files, without its id and date. What is evaluated is then
 * a function of the files alone.
 */
export const TREE_ADDRESS = '#tree';
