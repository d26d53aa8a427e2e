import type { HostName, ReleaseRef } from '@floe/model';
import type { Repository, Revision, StorePart } from '@floe/store';
import { shortSha } from '@floe/views';

/** What a request names is not there, or not clear. */
export interface NotNamed {
  readonly kind: 'refused';
  readonly status: 404 | 409;
  readonly code: string;
  readonly message: string;
}

export interface NamedCommitDeps {
  readonly store: StorePart<{ revisions: 'byShaPrefix' }>;
  readonly repository: Pick<Repository, 'id'>;
}

/** The revisions of the commit whose id begins so, newest first: the same commit can be taken in twice. */
export async function commitNamed(
  { store, repository }: NamedCommitDeps,
  prefix: string,
): Promise<NotNamed | { readonly kind: 'found'; readonly newest: Revision; readonly revisions: readonly Revision[] }> {
  const revisions = await store.revisions.byShaPrefix(repository.id, prefix);
  const [newest] = revisions;
  if (newest === undefined) return { kind: 'refused', status: 404, code: 'REVISION_UNKNOWN', message: `no revision starts with ${prefix}` };
  if (revisions.some(({ sha }) => sha !== newest.sha))
    return {
      kind: 'refused',
      status: 409,
      code: 'REVISION_AMBIGUOUS',
      message: `more than one revision starts with ${prefix}: give more digits`,
    };
  return { kind: 'found', newest, revisions };
}

/** The newest release that such a commit has for the host, and the revision of it that has that. */
export async function releaseNamed(
  deps: NamedCommitDeps & { readonly store: StorePart<{ releases: 'ofRevision' }> },
  prefix: string,
  host: HostName,
): Promise<NotNamed | { readonly kind: 'found'; readonly release: ReleaseRef; readonly revision: Revision }> {
  const named = await commitNamed(deps, prefix);
  if (named.kind === 'refused') return named;
  for (const revision of named.revisions) {
    const release = await deps.store.releases.ofRevision(revision, host);
    if (release !== undefined) return { kind: 'found', release, revision };
  }
  const short = shortSha(named.newest.sha);
  return { kind: 'refused', status: 409, code: 'NO_RELEASE', message: `${short} has no release for ${host}: see why with: floe revisions ${short}` };
}
