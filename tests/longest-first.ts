import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that take more than half a minute, the longest first, as measured. Vitest only knows times of earlier runs; in a fresh
 * clone it starts with the largest files, and a slow one may start last, when all others are done.
 */
export const LONG = [
  'lab/faults',
  'lab/restart',
  'lab/portals',
  'lab/states',
  'lab/people',
  'lab/activation',
  'lab/inhibitors',
  'lab/rollout',
  'lab/sleep',
  'lab/circumstances',
  'lab/forgetful',
  'lab/metered',
  'lab/https-portals',
  'lab/keys',
  'lab/desktop',
  'lab/power',
  'lab/server-unit',
  'outages',
  'thieves',
  'rollout-kills',
  'nix/src/private-inputs',
  'demo',
  'own-builder',
  'host-faults',
  'nix/src/nix',
  'odd-repositories',
  'nix/src/outcomes',
  'campaign/campaign',
  'repository-faults',
  'waiting-hosts',
  'rollout-watched',
  'handovers/handovers',
  'commit-signers/signers',
  'cli',
  'server-identity',
  'dashboard',
  'rollout-page',
  'embedded-damage',
  'rollouts/rebuilt',
  'pipeline/src/outcomes',
  'rollouts/rollouts',
  'hostile-database',
  'housekeeping',
  'forgetful-machines',
  'handovers/named-commits',
  'simulate',
  'far-ahead',
  'history-costs',
  'host-arrivals',
  'kept-fleets',
  'same-words',
  'statements/stable',
  'testing-branches',
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
