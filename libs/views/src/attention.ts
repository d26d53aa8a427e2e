import type { FleetView, HostView, RepositoryView, RevisionView } from '@floe/protocol';
import { needsAttention, standingWords } from './standing.ts';
import { shortSha } from './text.ts';

/** Something that does not get better by itself. */
export interface Attention {
  /** A host's name, or "server", "repository", "revision" or "rollout". */
  readonly subject: string;
  readonly message: string;
  /** What an administrator does about it, where the message does not say so already. */
  readonly todo: string | null;
  readonly since: number | null;
}

/** All that needs a person, the most far-reaching first; the same list for the page, `floe status` and its exit status. */
export function attentionOf(fleet: Pick<FleetView, 'repository' | 'revision'> & { readonly hosts: Iterable<HostView> }): readonly Attention[] {
  const hosts = [...fleet.hosts].filter(needsAttention);
  const { repository, revision } = fleet;
  return [
    ...repository.notices.map(({ message, since }) => ({ subject: 'server', message, todo: null, since })),
    ...attentionOfRepository(repository),
    ...(revision === null ? [] : attentionOfRevision(revision, hosts, repository)),
    ...hosts.map(attentionOfHost),
  ];
}

/** The list in one line: "Nothing needs you", "Needs attention (2)". */
export function verdictOf(attention: readonly Attention[]): string {
  return attention.length === 0 ? 'Nothing needs you' : `Needs attention (${attention.length})`;
}

function attentionOfRepository(repository: RepositoryView): readonly Attention[] {
  const { problem, held } = repository;
  const found: Attention[] = [];
  if (problem !== null) found.push({ subject: 'repository', message: problem.message, todo: null, since: problem.since });
  if (held !== null) {
    const todo = `push a commit that follows the accepted one, or accept it with: floe accept ${held.commit} --reason "…"`;
    found.push({ subject: 'repository', message: `${shortSha(held.commit)} is held: ${held.reason}`, todo, since: held.since });
  }
  return found;
}

function attentionOfRevision(revision: RevisionView, hosts: readonly HostView[], { held }: RepositoryView): readonly Attention[] {
  const { state, error, sha, receivedAt } = revision;
  const isFailed = state === 'REJECTED' || state === 'EVAL_FAILED' || state === 'BUILD_FAILED';
  const found: Attention[] = [];
  const todo = `see: floe revisions ${shortSha(sha)}`;
  // That it is held is said of the repository, once.
  if ((isFailed || error !== null) && held?.commit !== sha)
    found.push({ subject: 'revision', message: error ?? `${shortSha(sha)} failed`, todo, since: receivedAt });
  // What no machine can be, as a name that no host can have, is in the list of hosts no more than it is a host.
  const listed = new Set<string>(hosts.map((host) => host.host));
  for (const host of revision.hosts) {
    if (host.error === null || listed.has(host.host)) continue;
    found.push({ subject: host.host, message: host.error, todo: `push a fix; ${todo}`, since: receivedAt });
  }
  const { rollout } = revision;
  if (rollout?.state === 'PAUSED' || rollout?.state === 'WAITING_APPROVAL')
    found.push({ subject: 'rollout', message: rollout.description, todo: null, since: rollout.startedAt });
  return found;
}

function attentionOfHost(host: HostView): Attention {
  const isBehind = host.standing === 'behind';
  return {
    subject: host.host,
    message: host.problem ?? host.detail?.message ?? standingWords(host),
    todo: isBehind ? (host.isEnrolled ? 'push a fix; it keeps its last release until then' : 'push a fix') : null,
    since: isBehind || host.standing === 'removed' ? null : host.stateSince,
  };
}

/** Hosts with one and the same trouble, to be said once: the names of an item and its words. */
export function sameAttention(attention: readonly Attention[]): readonly (Attention & { readonly subjects: readonly string[] })[] {
  const groups = new Map<string, { item: Attention; subjects: string[] }>();
  for (const item of attention) {
    const key = `${item.message}\n${item.todo ?? ''}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { item, subjects: [item.subject] });
    else group.subjects.push(item.subject);
  }
  return [...groups.values()].map(({ item, subjects }) => ({ ...item, subjects }));
}
