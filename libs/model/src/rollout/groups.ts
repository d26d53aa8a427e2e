import type { HostName, StorePath } from '../brands.ts';
import type { RingHost } from './progress.ts';

/** How many hosts of a group are named. */
export const MAX_GROUP_NAMES = 3;
/** How many groups are named. */
export const MAX_GROUPS = 20;

/** Several hosts with the same change, none of which has run it. */
export interface UntriedGroup {
  /** At most {@link MAX_GROUP_NAMES}. */
  readonly hosts: readonly HostName[];
  readonly count: number;
}

/** What is said of the groups at most. */
export function boundGroups(groups: readonly UntriedGroup[]): readonly UntriedGroup[] {
  return groups.slice(0, MAX_GROUPS);
}

/**
 * The groups of hosts with the same change that nobody has tried. Stable reaches all of a group at once, so somebody of it must have been
 * verified before. The same change is:
 *
 * - the very same system;
 * - a change of hosts of the same ring and platform. A system contains its host's name, so two hosts hardly ever have the same one. The
 *   ring is what the policy takes for alike, and on another platform everything is another build.
 *
 * A host that is alone with its change is no group: nobody could try it in its place, so nothing is gained by waiting for it. So one laptop
 * that is away or failed keeps nobody waiting, and a host whose failure a person acknowledged is not asked any more.
 */
export function untriedGroups(hosts: readonly RingHost[]): readonly UntriedGroup[] {
  const asked = hosts.filter(isAsked);
  const tried = new Set(asked.filter(({ progress }) => progress === 'verified').map(({ toplevel }) => toplevel));
  return [...groupsBy(asked, tried, ({ toplevel }) => toplevel), ...groupsBy(asked, tried, ({ ring, platform }) => `${ring} ${platform ?? ''}`)];
}

/**
 * Commits that later rings are still to get, and that too few have proved: each as the hosts of the rings up to `ring` that are asked to run
 * it and do not yet. Enough are `minVerified` hosts, or all that are asked. A rollout also contains the commits since the last complete one,
 * and a host proves only the commit that changed it. Without this, canaries that had verified an older commit would let a newer one pass
 * that only changes others.
 */
export function untriedChanges(hosts: readonly RingHost[], ring: number, minVerified: number): readonly UntriedGroup[] {
  const isToCome = ({ isEligible, progress }: RingHost): boolean => isEligible && progress !== 'verified' && progress !== 'failed';
  const toCome = new Set(hosts.filter((host) => host.ring > ring && isToCome(host)).map(({ change }) => change));
  if (toCome.size === 0) return [];
  const verified = Map.groupBy(
    hosts.filter(({ progress }) => progress === 'verified'),
    ({ change }) => change,
  );
  const asked = hosts.filter((host) => host.ring <= ring && isAsked(host) && toCome.has(host.change));
  return [...Map.groupBy(asked, ({ change }) => change)]
    .filter(([change, group]) => (verified.get(change)?.length ?? 0) < Math.min(minVerified, group.length))
    .map(([, group]) => named(group.filter(({ progress }) => progress !== 'verified')))
    .toSorted(byFirstName);
}

/** It is eligible, and not one whose failure a person acknowledged. */
function isAsked({ isEligible, progress, isAcknowledged }: RingHost): boolean {
  return isEligible && !(progress === 'failed' && isAcknowledged);
}

function named(group: readonly RingHost[]): UntriedGroup {
  const names = group.map(({ host }) => host).toSorted();
  return { hosts: names.slice(0, MAX_GROUP_NAMES), count: names.length };
}

function byFirstName(one: UntriedGroup, other: UntriedGroup): number {
  return (one.hosts[0] ?? '') < (other.hosts[0] ?? '') ? -1 : 1;
}

function groupsBy(asked: readonly RingHost[], tried: ReadonlySet<StorePath>, keyOf: (host: RingHost) => string): readonly UntriedGroup[] {
  return [...Map.groupBy(asked, keyOf).values()]
    .filter((group) => group.length > 1 && !group.some(({ toplevel }) => tried.has(toplevel)))
    .map(named)
    .toSorted(byFirstName);
}

/**
 * Those of `failed` that failed with the very system that one of `reached` is asked to run. A failure belongs to the system, too: in
 * another ring it would be tried once more.
 */
export function twinsThatFailed(reached: readonly RingHost[], failed: readonly RingHost[]): readonly RingHost[] {
  const systems = new Set(reached.filter(({ isEligible }) => isEligible).map(({ toplevel }) => toplevel));
  return failed.filter(({ toplevel }) => systems.has(toplevel));
}
