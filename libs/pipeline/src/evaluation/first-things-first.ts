import { isCommit, type HostName } from '@floe/model';
import type { Revision } from '@floe/store';
import { bestEffort } from '../best-effort.ts';
import type { PipelineDeps } from '../deps.ts';
import { releasedToplevels } from './released.ts';

/** So many of the newest commits are looked at for those that touched the same files. */
const COMMITS_COMPARED = 5;
const REVISIONS_SEARCHED = 15;

/** Hosts whose own files changed, that imported what changed, or that changed with the same files before, come first, so that a small change of a large fleet is released early. It only affects the order. */
export async function firstThingsFirst(deps: PipelineDeps, revision: Revision, hosts: readonly HostName[]): Promise<readonly HostName[]> {
  return await bestEffort(deps.logger, 'ordering the hosts', hosts, async () => await probablyTouchedFirst(deps, revision, hosts));
}

async function probablyTouchedFirst(deps: PipelineDeps, revision: Revision, hosts: readonly HostName[]): Promise<readonly HostName[]> {
  const previous = await deps.store.revisions.newestPublished(revision.repositoryId);
  if (previous === undefined || !isCommit(previous.sha) || hosts.length <= deps.limits.evaluations) return hosts;
  const changes = await deps.mirror.changedPaths(previous.sha, revision.sha);
  if (changes === 'unknown') return hosts;
  const released = await releasedToplevels(deps, revision);
  const names = new Set<string>(hosts);
  const named = new Set(changes.flatMap(({ path }) => hostsInPath(path, names)));
  const paths = changes.map(({ path }) => path);
  const near = deps.footprints?.nearness(paths) ?? new Map<HostName, number>();
  const likely = await changedBefore(deps, revision, new Set(paths));
  // What a host imported says more than what earlier commits changed.
  const rank = (host: HostName): number => {
    if (named.has(host) || !released.has(host)) return 3;
    const nearness = near.get(host);
    return nearness === undefined ? (likely.get(host) ?? 0) : 1 + nearness;
  };
  return hosts.toSorted((one, other) => rank(other) - rank(one));
}

/** "hosts/ada.nix", "hosts/ada/disks.nix" */
function hostsInPath(path: string, names: ReadonlySet<string>): readonly string[] {
  return path.split('/').flatMap((part) => {
    const dots = [...part.matchAll(/\./g)].map(({ index }) => part.slice(0, index));
    return [part, ...dots].filter((name) => names.has(name));
  });
}

/**
 * The hosts that earlier commits changed which touched one of these files, such as a module that only they use, between 0 and 1: the fewer hosts such a
 * commit changed, the more likely each is changed again.
 */
async function changedBefore(
  { store, mirror }: PipelineDeps,
  revision: Revision,
  paths: ReadonlySet<string>,
): Promise<ReadonlyMap<HostName, number>> {
  const likely = new Map<HostName, number>();
  const listed = (await store.revisions.list(revision.repositoryId, REVISIONS_SEARCHED)).map((each) => each.revision);
  const published = listed.filter(({ state, sha }) => state === 'PUBLISHED' && isCommit(sha)).slice(0, COMMITS_COMPARED + 1);
  const evaluated = await store.revisions.evaluationsOf(published.slice(0, -1).map(({ id }) => id));
  for (const [index, { id, sha }] of published.entries()) {
    const before = published[index + 1];
    const changes = before === undefined ? 'unknown' : await mirror.changedPaths(before.sha, sha);
    if (changes === 'unknown' || !changes.some(({ path }) => paths.has(path))) continue;
    const changed = (evaluated.get(id)?.evaluations ?? []).filter(({ outcome }) => outcome === 'CHANGED');
    for (const { host } of changed) likely.set(host, Math.max(likely.get(host) ?? 0, 1 / changed.length));
  }
  return likely;
}
