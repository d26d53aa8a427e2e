import type { BranchList } from '@floe/git';
import type { CommitSha, HostName } from '@floe/model';
import type { TestingBranch } from '@floe/store';

/** The folder of the branches that one host tries each. */
export const TESTING_FOLDER = 'testing/';

/** What is to be done about the branches that the git server lists. */
export interface TestingPlan {
  /** Those of known hosts, as many as the limit allows. */
  readonly follow: readonly { readonly host: HostName; readonly head: CommitSha }[];
  /** Their names are of no known host; not more than the limit either. */
  readonly nameless: readonly { readonly name: string; readonly head: CommitSha }[];
  /** They are not there any more. */
  readonly gone: readonly TestingBranch[];
  /** How many of known hosts are over the limit. */
  readonly leftOut: number;
}

/**
 * Those that are followed already come first, so that others cannot take their places; then by name. A list that is not complete says
 * nothing of what it lacks. Pure.
 */
export function planTesting(
  { branches, isComplete }: BranchList,
  rows: readonly TestingBranch[],
  hosts: ReadonlySet<HostName>,
  limit: number,
): TestingPlan {
  const followed = new Set(rows.map(({ host }) => host));
  const inFolder = branches
    .filter(({ name }) => name.startsWith(TESTING_FOLDER))
    .map(({ name, head }) => ({ name: name.slice(TESTING_FOLDER.length), head }))
    .toSorted((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
  const known = inFolder
    .filter(({ name }) => hosts.has(name as HostName))
    .map(({ name, head }) => ({ host: name as HostName, head }))
    .toSorted((one, other) => Number(followed.has(other.host)) - Number(followed.has(one.host)));
  const there = new Set(known.map(({ host }) => host));
  return {
    follow: known.slice(0, limit),
    nameless: inFolder.filter(({ name }) => !hosts.has(name as HostName)).slice(0, limit),
    gone: isComplete ? rows.filter(({ host }) => !there.has(host)) : [],
    leftOut: Math.max(0, known.length - limit),
  };
}
