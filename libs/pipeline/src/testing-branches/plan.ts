import type { BranchList } from '@floe/git';
import type { CommitSha, HostName } from '@floe/model';
import type { TestingBranch } from '@floe/store';
import { MAX_TRIAL_MS } from './seal-trial.ts';

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
  /** How many of known hosts are over the limit, and wait. */
  readonly leftOut: number;
}

/**
 * Those that are followed already come first, so that others cannot take their places; then by name. A head with a last word keeps its place as
 * long as a trial of it could last, so that no more are tried in a day than the limit says; an older one takes none, and is not tried again. A list
 * that is not complete says nothing of what it lacks. Pure.
 */
export function planTesting(
  { branches, isComplete }: BranchList,
  rows: readonly TestingBranch[],
  hosts: ReadonlySet<HostName>,
  { limit, now }: { readonly limit: number; readonly now: number },
): TestingPlan {
  const rowOf = new Map(rows.map((row) => [row.host, row]));
  const isOver = (row: TestingBranch): boolean => row.state === 'DONE' && row.seenAt + MAX_TRIAL_MS <= now;
  const followed = new Set(rows.filter((row) => !isOver(row)).map(({ host }) => host));
  const inFolder = branches
    .filter(({ name }) => name.startsWith(TESTING_FOLDER))
    .map(({ name, head }) => ({ name: name.slice(TESTING_FOLDER.length), head }))
    .toSorted((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
  const known = inFolder
    .filter(({ name }) => hosts.has(name as HostName))
    .map(({ name, head }) => ({ host: name as HostName, head }))
    .toSorted((one, other) => Number(followed.has(other.host)) - Number(followed.has(one.host)));
  const there = new Set(known.map(({ host }) => host));
  const wanted = known.filter(({ host, head }) => followed.has(host) || rowOf.get(host)?.head !== head);
  return {
    follow: wanted.slice(0, limit),
    nameless: inFolder.filter(({ name }) => !hosts.has(name as HostName)).slice(0, limit),
    gone: isComplete ? rows.filter(({ host }) => !there.has(host)) : [],
    leftOut: Math.max(0, wanted.length - limit),
  };
}
