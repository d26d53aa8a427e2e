import { describeRollout } from '@floe/forge';
import type { HostName } from '@floe/model';
import type { FleetView, HostView, Progress, RepositoryView, RevisionView } from '@floe/protocol';
import type { Clock, Trouble, Troubles } from '@floe/runtime';
import type { Evaluation, HostRow, Repository, Revision, Rollout, Store } from '@floe/store';
import type { FleetFeed } from './feed.ts';
import { judgeRollout, rolloutHosts, troubleOf, viewHost, viewRepository, viewRevision, type RolloutStanding } from './fleet-view.ts';
import type { Notices } from './notices.ts';

/** What the rollouts of all revisions are judged by. */
type RolloutFacts = {
  readonly current: Awaited<ReturnType<Store['rollouts']['current']>>;
  readonly rows: ReadonlyMap<HostName, HostRow>;
  readonly quarantines: Awaited<ReturnType<Store['hosts']['quarantines']>>;
};

/** Reads the store and puts views together. */
export class FleetReader {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #feed: FleetFeed;
  readonly #repositoryId: string;
  readonly #troubles: Pick<Troubles, 'of'>;
  /** Downloads under way; memory only, since they are lossy. */
  readonly #progress = new Map<HostName, HostView['progress']>();

  readonly #notices: Notices;

  constructor(deps: { store: Store; clock: Clock; feed: FleetFeed; notices: Notices; repositoryId: string; troubles: Pick<Troubles, 'of'> }) {
    this.#notices = deps.notices;
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#feed = deps.feed;
    this.#repositoryId = deps.repositoryId;
    this.#troubles = deps.troubles;
  }

  noteProgress(host: HostName, progress: Progress): void {
    this.#progress.set(host, { doneBytes: progress.doneBytes, expectedBytes: progress.expectedBytes });
  }

  async fleet(): Promise<FleetView> {
    const version = this.#feed.version;
    const [repository, revision, hosts] = await Promise.all([
      this.#store.repositories.get(this.#repositoryId),
      this.#store.revisions.newest(this.#repositoryId),
      this.hosts('all'),
    ]);
    return {
      version,
      serverTime: this.#clock.now(),
      repository: this.repository(repository),
      revision: revision === undefined ? null : await this.revision(revision),
      hosts,
    };
  }

  repository(repository: Repository): RepositoryView {
    return viewRepository(repository, this.#notices.list());
  }

  async hosts(which: ReadonlySet<HostName> | 'all'): Promise<HostView[]> {
    const rows = await this.#rows(which);
    if (rows.length === 0) return [];
    const [quarantines, newest, releases] = await Promise.all([
      this.#store.hosts.quarantines(this.#repositoryId),
      this.#store.revisions.newest(this.#repositoryId),
      this.#store.releases.latest(this.#repositoryId),
    ]);
    const evaluations = newest === undefined ? [] : await this.#store.revisions.evaluations(newest.id);
    const commits = new Map(releases.map((release) => [release.id, release.commit]));
    const quarantinesOf = Map.groupBy(quarantines, ({ host }) => host);
    const byHost = new Map(evaluations.map((evaluation) => [evaluation.host, evaluation]));
    return rows.map((row) =>
      viewHost(row, {
        quarantines: quarantinesOf.get(row.host) ?? [],
        evaluation: byHost.get(row.host),
        desiredCommit: commits.get(row.desired?.releaseId ?? '') ?? null,
        progress: this.#progress.get(row.host) ?? null,
        trouble: troubleOf(row, this.#troubles.of(row.host)),
      }),
    );
  }

  async revisions(limit: number): Promise<RevisionView[]> {
    const revisions = await this.#store.revisions.list(this.#repositoryId, limit);
    const facts = await this.#rolloutFacts();
    const views: RevisionView[] = [];
    // One after another: a list that somebody asks for takes one connection, not all of them.
    for (const revision of revisions) views.push(viewStanding(await this.#standing(revision, async () => await Promise.resolve(facts))));
    return views;
  }

  async revision(revision: Revision): Promise<RevisionView> {
    return viewStanding(await this.standing(revision));
  }

  /** Where the revision and its rollout stand, from what its hosts were observed to run. */
  async standing(revision: Revision): Promise<RevisionStanding> {
    return await this.#standing(revision, async () => await this.#rolloutFacts());
  }

  async #standing(revision: Revision, rolloutFacts: () => Promise<RolloutFacts>): Promise<RevisionStanding> {
    const evaluations = await this.#store.revisions.evaluations(revision.id);
    const row = await this.#store.rollouts.forRevision(revision.id);
    const trouble = this.#troubles.of(`revision ${revision.id}`);
    if (row === undefined) return { revision, evaluations, trouble, rollout: undefined };
    const { current, rows, quarantines } = await rolloutFacts();
    const hosts = rolloutHosts(evaluations, rows, quarantines);
    return { revision, evaluations, trouble, rollout: { row, isCurrent: current?.id === row.id, ...judgeRollout(hosts) } };
  }

  async #rolloutFacts(): Promise<RolloutFacts> {
    const [current, rows, quarantines] = await Promise.all([
      this.#store.rollouts.current(this.#repositoryId),
      this.#store.hosts.list(this.#repositoryId),
      this.#store.hosts.quarantines(this.#repositoryId),
    ]);
    return { current, rows: new Map(rows.map((each) => [each.host, each])), quarantines };
  }

  async #rows(which: ReadonlySet<HostName> | 'all'): Promise<readonly HostRow[]> {
    if (which === 'all') return await this.#store.hosts.list(this.#repositoryId);
    return await this.#store.hosts.list(this.#repositoryId, [...which]);
  }
}

/** A revision with what is known of its hosts. */
export interface RevisionStanding {
  readonly revision: Revision;
  readonly evaluations: readonly Evaluation[];
  /** What keeps the server from doing its work for this revision. */
  readonly trouble: Trouble | undefined;
  readonly rollout: (RolloutStanding & { readonly row: Rollout; readonly isCurrent: boolean }) | undefined;
}

/** As people see it. */
export function viewStanding({ revision: stored, evaluations, trouble, rollout }: RevisionStanding): RevisionView {
  const revision = { ...stored, error: stored.error ?? trouble?.message };
  if (rollout === undefined) return viewRevision(revision, evaluations, undefined);
  const { row, isCurrent, counts, names } = rollout;
  return viewRevision(revision, evaluations, {
    row,
    counts: isCurrent ? counts : { ...NOBODY, total: counts.total },
    description: isCurrent ? describeRollout(counts, names, row.state === 'COMPLETE').description : describePast(row),
  });
}

const NOBODY = { total: 0, onIt: 0, underWay: 0, waiting: 0, rolledBack: 0, failed: 0, away: 0, notEnrolled: 0, behind: 0 };

/** Of a rollout that a newer one followed: its hosts have moved on, so counting them says nothing about it. */
function describePast({ state }: Rollout): string {
  return state === 'COMPLETE' ? 'rolled out; the hosts have moved on' : 'superseded before it was complete';
}
