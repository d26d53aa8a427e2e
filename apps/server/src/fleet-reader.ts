import {
  summarizeRollout,
  namesNeedingAttention,
  offerOf,
  resolve,
  type CommitSha,
  type Desired,
  type HostName,
  type Offer,
  type StatusText,
} from '@floe/model';
import type { FleetView, HostView, Progress, RepositoryView, RevisionView } from '@floe/protocol';
import type { Clock, Trouble, Troubles } from '@floe/runtime';
import { rolloutHosts, type Evaluation, type Repository, type Revision, type Store } from '@floe/store';
import { describeRollout, describeSuperseded } from '@floe/views';
import { CommitNames } from './commit-names.ts';
import type { FetchWatch } from './fetch-watch.ts';
import type { FleetFeed } from './feed.ts';
import { troubleOf, viewHost, viewRepository, viewRevision, type RolloutSeen } from './fleet-view.ts';
import type { Notices } from './notices.ts';

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

  readonly #commitNames: CommitNames;
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
    this.#commitNames = new CommitNames(deps.store.releases);
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
    const views = rows.map((row) => {
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
    return await this.#commitNames.name(views);
  }

  /** What each host should run now. */
  async #desired(names: readonly HostName[] | undefined): Promise<ReadonlyMap<HostName, Desired>> {
    const situations = await this.#store.hosts.situation(this.#repositoryId, names);
    return new Map(situations.map(({ host, ...situation }) => [host, resolve(situation)]));
  }

  /** Newest first; of those with a sequence below `before`. */
  async revisions(limit: number, before?: number): Promise<RevisionView[]> {
    const revisions = await this.#store.revisions.list(this.#repositoryId, limit, before);
    const views: RevisionView[] = [];
    // One after another: a list that somebody asks for takes one connection, not all of them.
    const shared = await this.#shared();
    for (const revision of revisions) views.push(viewStanding(await this.standing(revision, shared)));
    return views;
  }

  async revision(revision: Revision): Promise<RevisionView> {
    return viewStanding(await this.standing(revision));
  }

  async #shared(): Promise<SharedFacts> {
    const { held } = await this.#store.repositories.get(this.#repositoryId);
    return { held: held?.commit, currentRollout: (await this.#store.rollouts.current(this.#repositoryId))?.id };
  }

  /**
   * Where the revision and its rollout stand: now, while it is the current one, and else as it was when a newer one took its
   * place. `shared` is read after the revision, or a rollout that began in between would count as superseded.
   */
  async standing(revision: Revision, shared?: SharedFacts): Promise<RevisionStanding> {
    const { held, currentRollout } = shared ?? (await this.#shared());
    const evaluations = await this.#store.revisions.evaluations(revision.id);
    const row = await this.#store.rollouts.forRevision(revision.id);
    const known = { revision, evaluations, trouble: this.#troubles.of(`revision ${revision.id}`), held };
    // One that is evaluated anew has no hosts yet, and so nothing to roll out.
    if (row === undefined || revision.state !== 'PUBLISHED') return { ...known, rollout: undefined };
    if (currentRollout !== row.id) {
      const [story] = await this.#store.rollouts.stories([revision.id]);
      return { ...known, rollout: { row, isCurrent: false, standing: story, frozenAt: story?.at ?? revision.supersededAt } };
    }
    const [desired, quarantines] = await Promise.all([this.#desired(undefined), this.#store.hosts.quarantines(this.#repositoryId)]);
    const rows = new Map((await this.#store.hosts.list(this.#repositoryId)).map((each) => [each.host, each]));
    const standing = summarizeRollout(rolloutHosts({ evaluations, rows, desired, quarantines, now: this.#clock.now() }));
    return { ...known, rollout: { row, isCurrent: true, standing, frozenAt: undefined } };
  }
}

/** What the standings of all revisions have in common. */
export interface SharedFacts {
  /** The commit that waits for an administrator. */
  readonly held: CommitSha | undefined;
  /** The id of the rollout that hosts follow. */
  readonly currentRollout: string | undefined;
}

/** A revision with what is known of its hosts. */
export interface RevisionStanding {
  readonly revision: Revision;
  readonly evaluations: readonly Evaluation[];
  /** What keeps the server from doing its work for this revision. */
  readonly trouble: Trouble | undefined;
  /** The commit that waits for an administrator. */
  readonly held: CommitSha | undefined;
  readonly rollout: (Omit<RolloutSeen, 'description'> & { readonly isCurrent: boolean }) | undefined;
}

/** As people see it. */
export function viewStanding(standing: RevisionStanding): RevisionView {
  const { revision: stored, evaluations, trouble, rollout, held } = standing;
  const revision = { ...stored, error: stored.error ?? trouble?.message };
  const description = describeStanding(standing)?.description ?? '';
  return viewRevision(revision, evaluations, rollout === undefined ? undefined : { ...rollout, description }, held);
}

/** What the commit says of its rollout: where it stands, or what had come of it; undefined when there is none. */
export function describeStanding({ revision, rollout }: RevisionStanding): StatusText | undefined {
  if (rollout === undefined) return undefined;
  const { row, isCurrent, standing } = rollout;
  const { supersededBy } = revision;
  if (standing === undefined) return describeSuperseded(supersededBy);
  const now = describeRollout(standing.counts, namesNeedingAttention(standing), { isComplete: row.state === 'COMPLETE', leaving: standing.leaving });
  if (!isCurrent) return describeSuperseded(supersededBy, now);
  return { ...now, isUnderWay: standing.counts['under-way'] + standing.leaving > 0 };
}
