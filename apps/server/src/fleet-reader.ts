import { namesNeedingAttention, offerOf, type HostName, type Offer, type StatusText } from '@floe/model';
import type { FleetView, HostView, Progress, RepositoryView, RevisionView } from '@floe/protocol';
import type { Clock, Troubles } from '@floe/runtime';
import type { FleetHost, Repository, RevisionInList, Store } from '@floe/store';
import { describeCourse, describeRollout, describeSuperseded } from '@floe/views';
import { CommitNames } from './commit-names.ts';
import type { FetchWatch } from './fetch-watch.ts';
import type { FleetFeed } from './feed.ts';
import { FleetSnapshot, type RevisionPage, type RevisionSeen, type SnapshotStore } from './fleet-snapshot.ts';
import { troubleOf, viewHost, viewRepository, viewRevision } from './fleet-view.ts';
import type { Notices } from './notices.ts';

const UNKNOWN: Offer = { kind: 'unknown' };

export interface FleetReaderDeps {
  readonly store: SnapshotStore & { readonly releases: Pick<Store['releases'], 'commitsOf'> };
  readonly clock: Clock;
  readonly feed: Pick<FleetFeed, 'version'>;
  readonly notices: Pick<Notices, 'list'>;
  readonly fetches: Pick<FetchWatch, 'shown'>;
  readonly repositoryId: string;
  readonly troubles: Pick<Troubles, 'of'>;
}

/** Puts views together: of what the store has, and of what only this process knows. */
export class FleetReader {
  readonly #deps: FleetReaderDeps;
  /** Downloads under way; memory only, since they are lossy. */
  readonly #progress = new Map<HostName, HostView['progress']>();

  readonly #commitNames: CommitNames;

  constructor(deps: FleetReaderDeps) {
    this.#deps = deps;
    this.#commitNames = new CommitNames(deps.store.releases);
  }

  noteProgress(host: HostName, progress: Progress): void {
    this.#progress.set(host, { doneBytes: progress.doneBytes, expectedBytes: progress.expectedBytes });
  }

  async snapshot(page: RevisionPage): Promise<FleetSnapshot> {
    return await FleetSnapshot.read(this.#deps.store, this.#deps.repositoryId, page);
  }

  async fleet(): Promise<FleetView> {
    // Before anything is read: what changes meanwhile comes as an event.
    const { version } = this.#deps.feed;
    const snapshot = await this.snapshot({ limit: 1 });
    const [revision] = snapshot.revisions;
    const hosts = await this.hosts(snapshot, 'all');
    return {
      version,
      serverTime: this.#deps.clock.now(),
      repository: this.repository(snapshot.repository),
      revision: revision === undefined ? null : viewSeen(await this.see(snapshot, revision)),
      hosts,
    };
  }

  repository(repository: Repository): RepositoryView {
    return viewRepository(repository, this.#deps.notices.list(), this.#deps.fetches.shown);
  }

  async hosts(snapshot: FleetSnapshot, which: ReadonlySet<HostName> | 'all'): Promise<HostView[]> {
    if (which !== 'all' && which.size === 0) return [];
    const view = await this.#viewer(snapshot);
    const views = (await snapshot.fleet()).hosts.filter(({ row }) => which === 'all' || which.has(row.host)).map(view);
    return await this.#commitNames.name(views);
  }

  /** One host, read alone; undefined: there is none of that name. */
  async host(host: HostName): Promise<HostView | undefined> {
    const snapshot = await this.snapshot({ limit: 1 });
    const view = await this.#viewer(snapshot);
    const { hosts } = await this.#deps.store.hosts.fleet(this.#deps.repositoryId, [host]);
    return (await this.#commitNames.name(hosts.map(view)))[0];
  }

  /** Views of hosts as the newest finished revision has them. */
  async #viewer(snapshot: FleetSnapshot): Promise<(host: FleetHost) => HostView> {
    const finished = await snapshot.finished();
    const evaluations = finished === undefined ? [] : await snapshot.evaluations(finished.id);
    const byHost = new Map(evaluations.map((evaluation) => [evaluation.host, evaluation]));
    return ({ row, desired, quarantines, desiredCommit }) => {
      const evaluation = byHost.get(row.host);
      return viewHost(row, {
        desired,
        offer: finished === undefined ? UNKNOWN : offerOf(finished.state, evaluation),
        evaluation,
        quarantines,
        desiredCommit: desiredCommit ?? null,
        progress: this.#progress.get(row.host) ?? null,
        trouble: troubleOf(row, this.#deps.troubles.of(row.host)),
      });
    };
  }

  /** Newest first. */
  async revisions(page: RevisionPage): Promise<RevisionView[]> {
    const snapshot = await this.snapshot(page);
    const views: RevisionView[] = [];
    // One after another: a list that somebody asks for takes one connection, not all of them.
    for (const revision of snapshot.revisions) views.push(viewSeen(await this.see(snapshot, revision)));
    return views;
  }

  /** One revision as {@link revisions} has it. */
  async revision({ sequence, id }: RevisionInList): Promise<RevisionView | undefined> {
    const snapshot = await this.snapshot({ limit: 1, before: sequence + 1 });
    const revision = snapshot.revisions.find((each) => each.id === id);
    return revision === undefined ? undefined : viewSeen(await this.see(snapshot, revision));
  }

  async see(snapshot: FleetSnapshot, revision: RevisionInList): Promise<RevisionSeen> {
    return await snapshot.see(revision, this.#deps.troubles.of(`revision ${revision.id}`), this.#deps.clock.now());
  }
}

/** As people see it. */
export function viewSeen(seen: RevisionSeen): RevisionView {
  const { revision: stored, evaluations, trouble, rollout, held } = seen;
  const revision = { ...stored, error: stored.error ?? trouble?.message };
  const description = describeSeen(seen)?.description ?? '';
  return viewRevision(revision, evaluations, rollout === undefined ? undefined : { ...rollout, description }, held);
}

/** What the commit says of its rollout: where it stands, or what had come of it; undefined when there is none. */
export function describeSeen({ revision, rollout }: RevisionSeen): StatusText | undefined {
  if (rollout === undefined) return undefined;
  const { row, policy, summary } = rollout;
  const { supersededBy } = revision;
  if (summary === undefined) return describeSuperseded(supersededBy);
  const now = describeRollout(summary.counts, namesNeedingAttention(summary), { isComplete: row.state === 'COMPLETE', leaving: summary.leaving });
  if (policy === undefined) return describeSuperseded(supersededBy, now);
  const said = describeCourse(row.course, policy, now) ?? now;
  return { ...said, isUnderWay: summary.counts['under-way'] + summary.leaving > 0 };
}
