import type { HostName, StorePath } from './brands.ts';

/**
 * What a revision changes for one host, compared with the host's last release. NOT_OURS: no machine is enrolled under this name, and its configuration
 * does not run Floe's agent, as of an installer: it is not built. NOT_BUILT_HERE: neither the server nor a remote builder builds for its
 * architecture: it keeps its last release, and nothing is wrong with the commit. NOT_EVALUATED: what it is at this revision is not known, because it is
 * still evaluated, or a newer revision went first.
 */
export const EVALUATION_OUTCOMES = [
  'NOT_EVALUATED',
  'CHANGED',
  'UNCHANGED',
  'NEW',
  'REMOVED',
  'NOT_OURS',
  'NOT_BUILT_HERE',
  'EVAL_ERROR',
  'BUILD_ERROR',
] as const;
export type EvaluationOutcome = (typeof EVALUATION_OUTCOMES)[number];

/** True of a host that a revision has nothing for, and that nothing is wrong with: it counts nowhere. */
export function isLeftOut(outcome: EvaluationOutcome): boolean {
  return outcome === 'REMOVED' || outcome === 'NOT_OURS';
}

/** True of a host that is in no rollout of a revision: there is nothing for it, or nothing yet, and no failure that the rollout shows. */
export function isNotRolledOut(outcome: EvaluationOutcome): boolean {
  return isLeftOut(outcome) || outcome === 'NOT_BUILT_HERE' || outcome === 'NOT_EVALUATED';
}

/** True of a host of which the revision tells the configuration: its ring and its labels. */
export function isConfigurationKnown(outcome: EvaluationOutcome): boolean {
  return !isLeftOut(outcome) && outcome !== 'EVAL_ERROR' && outcome !== 'NOT_EVALUATED';
}

/** A host's evaluation at one revision. Two evaluations with the same derivation are the same system. */
export interface EvaluatedHost {
  readonly host: HostName;
  readonly drvPath: string;
  readonly toplevel: StorePath;
}

export interface FleetDiff {
  /** To be built and released: it has a release with another toplevel. */
  readonly changed: readonly HostName[];
  readonly added: readonly HostName[];
  readonly unchanged: readonly HostName[];
  /** Had a release and is no longer in the flake. It keeps its last release. */
  readonly removed: readonly HostName[];
}

/**
 * Compares the hosts of a revision with the toplevel of each host's last release.
 * `failed` hosts are in the flake but have no evaluation: they are neither changed nor removed.
 */
export function diffFleet(evaluated: readonly EvaluatedHost[], failed: readonly HostName[], released: ReadonlyMap<HostName, StorePath>): FleetDiff {
  const present = new Set<HostName>([...evaluated.map((each) => each.host), ...failed]);
  const changed: HostName[] = [];
  const added: HostName[] = [];
  const unchanged: HostName[] = [];
  for (const { host, toplevel } of evaluated) {
    const last = released.get(host);
    if (last === undefined) added.push(host);
    else if (last === toplevel) unchanged.push(host);
    else changed.push(host);
  }
  return { changed, added, unchanged, removed: [...released.keys()].filter((host) => !present.has(host)) };
}
