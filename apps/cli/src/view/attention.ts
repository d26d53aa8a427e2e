import type { FleetView, HostView, RepositoryView, RevisionView } from '@floe/protocol';
import { needsAttention, shortSha } from '@floe/views';

/** Something that does not get better by itself. */
export interface Attention {
  /** A host's name, or "server", "repository" or "revision". */
  readonly subject: string;
  readonly message: string;
  /** What an administrator does about it, where the message does not say so already. */
  readonly todo: string | null;
  readonly since: number | null;
}

/** All that needs a person, the most far-reaching first. Empty: the fleet takes care of itself. */
export function attentionOf(fleet: FleetView): readonly Attention[] {
  const hosts = fleet.hosts.filter(needsAttention);
  return [
    ...fleet.repository.notices.map(({ message, since }) => ({ subject: 'server', message, todo: null, since })),
    ...attentionOfRepository(fleet.repository),
    ...(fleet.revision === null ? [] : attentionOfRevision(fleet.revision, hosts)),
    ...hosts.map((host) => ({
      subject: host.host,
      message: host.problem ?? host.detail?.message ?? host.standing,
      todo: todoForHost(host),
      since: host.isBehind && host.standing === 'in-sync' ? null : host.stateSince,
    })),
  ];
}

function attentionOfRepository(repository: RepositoryView): readonly Attention[] {
  const { problem, held } = repository;
  const found: Attention[] = [];
  if (problem !== null) found.push({ subject: 'repository', message: problem.message, todo: null, since: problem.since });
  if (held !== null) {
    const todo = `push a commit that follows the accepted one, or let it in with: floe accept ${held.commit} --reason "…"`;
    found.push({ subject: 'repository', message: `${shortSha(held.commit)} is held: ${held.reason}`, todo, since: held.since });
  }
  return found;
}

function attentionOfRevision(revision: RevisionView, hosts: readonly HostView[]): readonly Attention[] {
  const isFailed = revision.state === 'REJECTED' || revision.state === 'EVAL_FAILED' || revision.state === 'BUILD_FAILED';
  const found: Attention[] = [];
  if (isFailed || revision.error !== null) {
    found.push({
      subject: 'revision',
      message: revision.error ?? `${shortSha(revision.sha)} failed`,
      todo: `see: floe revisions ${shortSha(revision.sha)}`,
      since: revision.receivedAt,
    });
  }
  // A host that nobody enrolled yet still shows that its configuration is broken.
  const listed = new Set<string>(hosts.map((host) => host.host));
  for (const host of revision.hosts) {
    if (host.error === null || listed.has(host.host)) continue;
    found.push({
      subject: host.host,
      message: host.error,
      todo: `push a fix; see: floe revisions ${shortSha(revision.sha)}`,
      since: revision.receivedAt,
    });
  }
  if (revision.rollout?.state === 'PAUSED' || revision.rollout?.state === 'WAITING_APPROVAL') {
    found.push({ subject: 'rollout', message: revision.rollout.description, todo: null, since: revision.rollout.startedAt });
  }
  return found;
}

function todoForHost(host: HostView): string | null {
  if (host.isBehind && host.standing !== 'rolled-back' && host.standing !== 'failed' && host.standing !== 'quarantined')
    return host.isEnrolled ? 'push a fix; it keeps its last release until then' : 'push a fix';
  return null;
}
