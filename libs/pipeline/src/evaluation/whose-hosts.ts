import type { HostName } from '@floe/model';
import type { Revision, PlainStore } from '@floe/store';

export interface WhoseHosts {
  /** A machine is enrolled under this name: it is Floe's, whatever its configuration says. */
  readonly isEnrolled: (host: HostName) => boolean;
  /** The last commit that was published found that it is not Floe's. */
  readonly wasNotOurs: (host: HostName) => boolean;
}

/** What is known of whose the hosts of a revision are, before its flake is asked. */
export async function whoseHosts(
  store: Pick<PlainStore, 'hosts' | 'revisions'>,
  { repositoryId }: Pick<Revision, 'repositoryId'>,
): Promise<WhoseHosts> {
  const rows = await store.hosts.list(repositoryId);
  const enrolled = new Set(rows.flatMap(({ host, publicKey, revokedAt }) => (publicKey !== undefined && revokedAt === undefined ? [host] : [])));
  const previous = await store.revisions.newestPublished(repositoryId);
  const before = previous === undefined ? [] : await store.revisions.evaluations(previous.id);
  const notOurs = new Set(before.flatMap(({ host, outcome }) => (outcome === 'NOT_OURS' ? [host] : [])));
  return { isEnrolled: (host) => enrolled.has(host), wasNotOurs: (host) => notOurs.has(host) && !enrolled.has(host) };
}
