import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that take more than half a minute, the longest first, as measured. Vitest only knows times of earlier runs; in a fresh
 * clone it starts with the largest files, and a slow one may start last, when all others are done.
 */
export const LONG = [
  'lab/rollout',
  'lab/faults',
  'outages',
  'lab/restart',
  'lab/inhibitors',
  'lab/desktop',
  'lab/notices',
  'lab/circumstances',
  'lab/activation',
  'lab/people',
  'campaign/campaign',
  'rollout-watched',
  'lab/states',
  'lab/keys',
  'thieves',
  'server-identity',
  'lab/power',
  'rollout-kills',
  'host-faults',
  'waiting-hosts',
  'odd-repositories',
  'repository-faults',
  'nix/src/nix',
  'commit-signers/signers',
  'housekeeping',
  'rollouts/rollouts',
  'embedded-damage',
  'history-costs',
  'rollout-page',
  'kept-fleets',
  'nix/src/outcomes',
  'same-words',
  'dashboard',
  'statements/stable',
  'testing-branches',
  'pipeline/src/outcomes',
];

function rank({ moduleId }: TestSpecification): number {
  const place = LONG.findIndex((name) => moduleId.replace(/\.\w+\.test\.ts$/, '').endsWith(`/${name}`));
  return place === -1 ? LONG.length : place;
}

/** Starts the slow files first, within each group, so that none of them runs alone at the end. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- the sequencer's own
    const sorted = await super.sort(files);
    const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    return sorted.toSorted((a, b) => groupOf(a) - groupOf(b) || rank(a) - rank(b));
  }
}
