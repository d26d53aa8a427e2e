import type { FleetEvent, FleetView, HostView, RepositoryView, RevisionView } from '@floe/protocol';
import { printableLine } from '@floe/model';
import { stateText } from './hosts.ts';
import { firstLine, needsAttention, revisionWords, shortHash, shortSha, standingWords, todoOf, words } from '@floe/views';

/** One line about one thing that changed. */
export interface EventLine {
  /** When it came to be so; in words when it never did, so that no line shows the time at which it was asked for. */
  readonly at: number | 'never seen' | 'never fetched';
  readonly text: string;
}

/** What changed since the last time, in lines for people. Changes that read the same (progress of a download) are one. */
export interface EventLines {
  /** The lines of whatever differs from what was told before, oldest first; at the start, of everything. */
  snapshot(fleet: FleetView): readonly EventLine[];
  change(event: FleetEvent): readonly EventLine[];
}

export function createEventLines(): EventLines {
  const told = new Map<string, string>();

  function tell(key: string, at: EventLine['at'], text: string): EventLine[] {
    if (told.get(key) === text) return [];
    told.set(key, text);
    return [{ at, text: printableLine(text) }];
  }
  return {
    snapshot(fleet) {
      const lines = [
        ...tell(
          'repository',
          fleet.repository.held?.since ?? fleet.repository.problem?.since ?? fleet.repository.lastFetchAt ?? 'never fetched',
          repositoryLine(fleet.repository),
        ),
        ...(fleet.revision === null ? [] : tell('revision', newestTime(fleet.revision), revisionLine(fleet.revision))),
        ...fleet.hosts.flatMap((host) => tell(`host ${host.host}`, host.stateSince ?? host.lastSeenAt ?? 'never seen', hostLine(host))),
      ];
      return lines.toSorted((a, b) => sortTime(a) - sortTime(b));
    },
    change(event) {
      switch (event.type) {
        case 'host':
          return tell(`host ${event.host.host}`, event.at, hostLine(event.host));
        case 'revision':
          return tell('revision', event.at, revisionLine(event.revision));
        case 'repository':
          return tell('repository', event.at, repositoryLine(event.repository));
      }
    },
  };
}

function sortTime({ at }: EventLine): number {
  return typeof at === 'number' ? at : 0;
}

function hostLine(host: HostView): string {
  const state = host.progress === null ? stateText(host) : words(host.state);
  const about = host.stateToplevel ?? host.desired?.toplevel;
  const what = host.isEnrolled ? `${state}${about === undefined ? '' : ` ${shortHash(about)}`}` : '';
  const why = firstLine(host.problem ?? host.detail?.message ?? '');
  const todo = needsAttention(host) ? todoOf(host) : null;
  return ['host', host.host, standingWords(host), what, why, todo === null ? '' : `→ ${todo}`].filter((part) => part !== '').join('  ');
}

function revisionLine(revision: RevisionView): string {
  const rollout = revision.rollout === null ? '' : `rollout: ${revision.rollout.description}`;
  return ['revision', shortSha(revision.sha), revisionWords(revision), rollout, firstLine(revision.error ?? '')]
    .filter((part) => part !== '')
    .join('  ');
}

function repositoryLine(repository: RepositoryView): string {
  const { problem, held, acceptedCommit, fetching } = repository;
  if (held !== null) return `repository  holds ${shortSha(held.commit)}: ${firstLine(held.reason)}`;
  if (problem !== null) return `repository  ${firstLine(problem.message)}`;
  if (fetching !== null) return `repository  ${fetching.message}`;
  return `repository  accepted ${acceptedCommit === null ? 'nothing yet' : shortSha(acceptedCommit)}`;
}

function newestTime(revision: RevisionView): number {
  const { rollout } = revision;
  return Math.max(revision.receivedAt, revision.publishedAt ?? 0, rollout?.startedAt ?? 0, rollout?.completedAt ?? 0);
}
