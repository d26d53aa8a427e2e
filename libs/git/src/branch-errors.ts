import type { Advertisement } from './advertisement.ts';
import { gitError, type GitError } from './errors.ts';
import { shownText } from './text.ts';

const BRANCHES_NAMED = 10;
const LONGEST_NAME = 100;

/** The error when the server has no such branch: names those that it has, and its default. */
export function branchNotFound(url: string, branch: string, advertisement: Advertisement): GitError {
  if (advertisement.branchCount === 0) return isEmpty(url, `push a first commit to ${branch}`, branch);
  const named = branchesOf(advertisement);
  return gitError('BRANCH_NOT_FOUND', `${url} has no branch ${branch}: set FLOE_REPOSITORY_BRANCH to one that it has (${named})`, {
    data: { url, branch, branches: named },
  });
}

/** The error when the server's HEAD names no branch that exists. */
export function noDefaultBranch(url: string, advertisement: Advertisement): GitError {
  if (advertisement.branchCount === 0) return isEmpty(url, 'push a first commit', '');
  const named = branchesOf(advertisement);
  return gitError(
    'BRANCH_NOT_FOUND',
    `${url} names no default branch: set FLOE_REPOSITORY_BRANCH to one of its branches (${named}), or its HEAD to one of them`,
    { data: { url, branch: '', branches: named } },
  );
}

function isEmpty(url: string, whatToDo: string, branch: string): GitError {
  return gitError('BRANCH_NOT_FOUND', `${url} is empty: ${whatToDo}`, { data: { url, branch, branches: '' } });
}

/** The default branch comes first. */
function branchesOf({ branches, branchCount, defaultBranch }: Advertisement): string {
  const others = branches.filter((name) => name !== defaultBranch).toSorted();
  const named = [...(defaultBranch === undefined ? [] : [`${shown(defaultBranch)}, its default`]), ...others.map(shown)].slice(0, BRANCHES_NAMED);
  const separator = defaultBranch === undefined ? ', ' : '; ';
  return `${named.join(separator)}${branchCount > BRANCHES_NAMED ? ` and ${branchCount - BRANCHES_NAMED} more` : ''}`;
}

function shown(name: string): string {
  return shownText(name, LONGEST_NAME);
}
