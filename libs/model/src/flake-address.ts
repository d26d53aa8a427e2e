/**
 * The end of a flake's address by which a commit is evaluated as a tree: by the hash of its files, without its id and date. What is evaluated is then
 * a function of the files alone.
 */
export const TREE_ADDRESS = '#tree';

/**
 * The end of a flake's address before the id of a commit, whose id and date its outputs see: the address itself is that of another commit, which has the
 * files of the submodules, too.
 */
export const COMMIT_ADDRESS = '#commit=';
