import { isCommit, type HostName } from '@floe/model';
import type { Revision } from '@floe/store';
import { bestEffort } from './best-effort.ts';
import type { PipelineDeps } from './deps.ts';
import { releasedToplevels } from './released.ts';

/** Hosts whose own files changed come first, so that a small change of a large fleet is released early. It only affects the order. */
export async function firstThingsFirst(deps: PipelineDeps, revision: Revision, hosts: readonly HostName[]): Promise<readonly HostName[]> {
  return await bestEffort(deps.logger, 'ordering the hosts', hosts, async () => await probablyTouchedFirst(deps, revision, hosts));
}

async function probablyTouchedFirst(deps: PipelineDeps, revision: Revision, hosts: readonly HostName[]): Promise<readonly HostName[]> {
  const previous = await deps.store.revisions.newestPublished(revision.repositoryId);
  if (previous === undefined || !isCommit(previous.sha) || hosts.length <= deps.limits.evaluations) return hosts;
  const changes = await deps.mirror.changedPaths(previous.sha, revision.sha);
  if (changes === 'unknown') return hosts;
  const released = await releasedToplevels(deps, revision);
  const isTouched = (host: HostName): boolean =>
    !released.has(host) || changes.some(({ path }) => path.split('/').some((part) => part === host || part.startsWith(`${host}.`)));
  const touched = new Set(hosts.filter(isTouched));
  return [...touched, ...hosts.filter((host) => !touched.has(host))];
}
