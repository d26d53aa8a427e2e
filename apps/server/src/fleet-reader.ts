import { countRollout, offerOf, resolve, type Desired, type HostName, type Offer } from '@floe/model';
import type { FleetView, HostView, Progress, RepositoryView, RevisionView } from '@floe/protocol';
import type { Clock, Trouble, Troubles } from '@floe/runtime';
import type { Evaluation, HostRow, Repository, Revision, Rollout, Store } from '@floe/store';
import { describeRollout } from '@floe/views';
import type { FetchWatch } from './fetch-watch.ts';
import type { FleetFeed } from './feed.ts';
import { judgeRollout, rolloutHosts, troubleOf, viewHost, viewRepository, viewRevision, type RolloutStanding } from './fleet-view.ts';
import type { Notices } from './notices.ts';

/** What the rollouts of all revisions are judged by. */
type RolloutFacts = {
  readonly current: Awaited<ReturnType<Store['rollouts']['current']>>;
  readonly rows: ReadonlyMap<HostName, HostRow>;
  readonly desired: ReadonlyMap<HostName, Desired>;
};

const UNKNOWN: Offer = { kind: 'unknown' };

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
  readonly #fetches: Pick<FetchWatch, 'shown'>;

  constructor(deps: {
    store: Store;
    clock: Clock;
    feed: FleetFeed;
    notices: Notices;
    fetches: Pick<FetchWatch, 'shown'>;
    repositoryId: string;
    troubles: Pick<Troubles, 'of'>;
  }) {
    this.#notices = deps.notices;
    this.#fetches = deps.fetches;
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
    return viewRepository(repository, this.#notices.list(), this.#fetches.shown);
  }

  async hosts(which: ReadonlySet<HostName> | 'all'): Promise<HostView[]> {
    if (which !== 'all' && which.size === 0) return [];
    // What a revision has for a host is read before what is wanted now: else a host would seem to be kept from the newest.
    const judged = await this.#store.revisions.newestJudged(this.#repositoryId);
    const evaluations = judged === undefined ? [] : await this.#store.revisions.evaluations(judged.id);
    const names = which === 'all' ? undefined : [...which];
    const [desired, quarantines] = await Promise.all([this.#desired(names), this.#store.hosts.quarantines(this.#repositoryId)]);
    const rows = await this.#store.hosts.list(this.#repositoryId, names);
    const releases = await this.#store.releases.byIds(rows.flatMap((row) => (row.desired === undefined ? [] : [row.desired.releaseId])));
    const commits = new Map(releases.map((release) => [release.id, release.commit]));
    const quarantinesOf = Map.groupBy(quarantines, ({ host }) => host);
    const byHost = new Map(evaluations.map((evaluation) => [evaluation.host, evaluation]));
    return rows.map((row) => {
      const evaluation = byHost.get(row.host);
      return viewHost(row, {
        desired: desired.get(row.host) ?? { kind: 'nothing' },
        offer: judged === undefined ? UNKNOWN : offerOf(judged.state, evaluation),
        evaluation,
        quarantines: quarantinesOf.get(row.host) ?? [],
        desiredCommit: commits.get(row.desired?.releaseId ?? '') ?? null,
        progress: this.#progress.get(row.host) ?? null,
        trouble: troubleOf(row, this.#troubles.of(row.host)),
      });
    });
  }

  /** What each host should run now. */
  async #desired(names: readonly HostName[] | undefined): Promise<ReadonlyMap<HostName, Desired>> {
    const situations = await this.#store.hosts.situation(this.#repositoryId, names);
    return new Map(situations.map(({ host, ...situation }) => [host, resolve(situation)]));
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
    const { current, rows, desired } = await rolloutFacts();
    const hosts = rolloutHosts(evaluations, rows, desired, this.#clock.now());
    return { revision, evaluations, trouble, rollout: { row, isCurrent: current?.id === row.id, ...judgeRollout(hosts) } };
  }

  async #rolloutFacts(): Promise<RolloutFacts> {
    const [current, desired] = await Promise.all([this.#store.rollouts.current(this.#repositoryId), this.#desired(undefined)]);
    const rows = await this.#store.hosts.list(this.#repositoryId);
    return { current, rows: new Map(rows.map((each) => [each.host, each])), desired };
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
  const { row, isCurrent, counts, names, leaving } = rollout;
  return viewRevision(revision, evaluations, {
    row,
    counts: isCurrent ? counts : { ...NOBODY, total: counts.total },
    description: isCurrent ? describeRollout(counts, names, { isComplete: row.state === 'COMPLETE', leaving }).description : describePast(row),
  });
}

const NOBODY = countRollout([]);

/** Of a rollout that a newer one followed: its hosts have moved on, so counting them says nothing about it. */
function describePast({ state }: Rollout): string {
  return state === 'COMPLETE' ? 'rolled out; the hosts have moved on' : 'superseded before it was complete';
}
