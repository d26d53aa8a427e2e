import { isEndedRevision, isHandingOut, summarizeRollout, type CommitSha, type RolloutPolicy } from '@floe/model';
import type { Trouble } from '@floe/runtime';
import {
  rolloutHosts,
  type BuildUnderWay,
  type Evaluation,
  type Fleet,
  type HostStore,
  type ListedRevision,
  type Repository,
  type RevisionInList,
  type Rollout,
  type RolloutStory,
  type PlainStore,
  type WaitsForOlder,
} from '@floe/store';
import type { RolloutSeen } from './fleet-view.ts';
import { rolloutFacts } from './rollouts/facts.ts';
import { waitsOf } from './rollouts/next.ts';
import { viewDetail, viewNext, viewStory, type Looked } from './rollouts/view.ts';

/** What a snapshot reads from. */
export interface SnapshotStore {
  readonly repositories: Pick<PlainStore['repositories'], 'get'>;
  readonly revisions: Pick<
    PlainStore['revisions'],
    'get' | 'waiting' | 'list' | 'listToTell' | 'newestFinished' | 'evaluations' | 'evaluationsAbout' | 'evaluationsOf' | 'buildsOf'
  >;
  readonly rollouts: Pick<PlainStore['rollouts'], 'stories'>;
  readonly hosts: Pick<HostStore, 'fleet'>;
}

/** Which revisions: the newest, or those with a sequence below `before`. */
export interface RevisionPage {
  readonly limit: number;
  readonly before?: number | undefined;
  /** Older ones too of which there may be something to tell. */
  readonly isToTell?: boolean;
}

/** A revision with what is known of its hosts. */
export interface RevisionSeen {
  readonly revision: RevisionInList;
  readonly evaluations: readonly Evaluation[];
  /** What keeps the server from doing its work for this revision. */
  readonly trouble: Trouble | undefined;
  /** The older commit that is finished before it is evaluated. */
  readonly waits: WaitsForOlder | undefined;
  /** Those that run, the longest first. */
  readonly builds: readonly BuildUnderWay[];
  /** The commit that waits for an administrator. */
  readonly held: CommitSha | undefined;
  /** `policy`: only of the rollout that hosts follow; else it is over. */
  readonly rollout: (Omit<RolloutSeen, 'description'> & { readonly policy: RolloutPolicy | undefined }) | undefined;
}

/**
 * One look at the store, which everything that is told together is told from. Each fact is read when it is first asked for,
 * and then kept. The order matters: revisions before evaluations, evaluations before hosts, or a host would seem to be kept
 * from a release that it has.
 */
export class FleetSnapshot {
  readonly repository: Repository;
  /** Newest first. */
  readonly revisions: readonly RevisionInList[];
  readonly #page: RevisionPage;
  readonly #store: SnapshotStore;
  readonly #rollouts: ReadonlyMap<string, Rollout | undefined>;
  readonly #evaluations = new Map<string, Promise<readonly Evaluation[]>>();
  #isTorn = false;
  #fleet: Promise<Fleet> | undefined;
  #waiting: Promise<WaitsForOlder | undefined> | undefined;
  #stories: Promise<ReadonlyMap<string, RolloutStory>> | undefined;

  private constructor(store: SnapshotStore, page: RevisionPage, repository: Repository, listed: readonly ListedRevision[]) {
    this.#store = store;
    this.#page = page;
    this.repository = repository;
    this.revisions = listed.map(({ revision }) => revision);
    this.#rollouts = new Map(listed.map(({ revision, rollout }) => [revision.id, rollout]));
  }

  static async read(store: SnapshotStore, repositoryId: string, page: RevisionPage): Promise<FleetSnapshot> {
    const repository = await store.repositories.get(repositoryId);
    const { limit, before, isToTell = false } = page;
    const listed = isToTell ? await store.revisions.listToTell(repositoryId, limit) : await store.revisions.list(repositoryId, limit, before);
    return new FleetSnapshot(store, page, repository, listed);
  }

  /**
   * The newest revision that is PUBLISHED, REJECTED, EVAL_FAILED or BUILD_FAILED, or still built while some of its hosts have their release:
   * the standing of hosts refers to it.
   */
  async finished(): Promise<RevisionInList | undefined> {
    const { limit, before } = this.#page;
    if (before === undefined) {
      // Beyond `limit` the list has gaps, so only its first `limit` entries are searched.
      const isIt = ({ id, state }: RevisionInList): boolean =>
        (isEndedRevision(state) && state !== 'SUPERSEDED') || (isHandingOut(state) && this.rolloutOf(id) !== undefined);
      const known = this.revisions.slice(0, limit).find(isIt);
      if (known !== undefined || this.revisions.length < limit) return known;
    }
    return await this.#store.revisions.newestFinished(this.repository.id);
  }

  async evaluations(revisionId: string): Promise<readonly Evaluation[]> {
    const known = this.#evaluations.get(revisionId) ?? this.#store.revisions.evaluations(revisionId);
    this.#evaluations.set(revisionId, known);
    return await known;
  }

  /** A revision moved on between two reads, e.g. it is evaluated again and has no hosts: nothing of this look is announced. */
  get isTorn(): boolean {
    return this.#isTorn;
  }

  /** Reads those of several at once. */
  async readEvaluations(revisionIds: readonly string[]): Promise<void> {
    const unread = revisionIds.filter((id) => !this.#evaluations.has(id));
    if (unread.length === 0) return;
    const read = await this.#store.revisions.evaluationsOf(unread).catch(() => undefined);
    // What fails together is read one by one, when it is asked for: the trouble of one is not all revisions'.
    if (read === undefined) return;
    const states = new Map(this.revisions.map(({ id, state }) => [id, state]));
    for (const id of unread) {
      const evaluated = read.get(id);
      if (evaluated?.state !== states.get(id)) this.#isTorn = true;
      this.#evaluations.set(id, Promise.resolve(evaluated?.evaluations ?? []));
    }
  }

  /** All hosts, and the rollout that they follow. */
  async fleet(): Promise<Fleet> {
    this.#fleet ??= this.#store.hosts.fleet(this.repository.id);
    return await this.#fleet;
  }

  /** The older commit that this one waits for. */
  async waits({ id, state }: RevisionInList): Promise<WaitsForOlder | undefined> {
    if (state !== 'RECEIVED') return undefined;
    this.#waiting ??= this.#store.revisions.waiting(this.repository.id);
    const waits = await this.#waiting;
    return waits?.id === id ? waits : undefined;
  }

  /** Of one that has ended nothing is built: what is noted of it is left from a builder that was killed. */
  async #builds({ id, state }: RevisionInList): Promise<readonly BuildUnderWay[]> {
    return state === 'EVALUATING' || state === 'BUILDING' ? await this.#store.revisions.buildsOf(id) : [];
  }

  readonly rolloutOf = (revisionId: string): Rollout | undefined => this.#rollouts.get(revisionId);

  /**
   * Where the revision and its rollout stand: now, while it is the current one, and else as it was when a newer one took its
   * place.
   */
  async see(revision: RevisionInList, trouble: Trouble | undefined, looked: Omit<Looked, 'hosts'>): Promise<RevisionSeen> {
    const { now } = looked;
    const evaluations = await this.evaluations(revision.id);
    const [waits, builds] = [await this.waits(revision), await this.#builds(revision)];
    const known = { revision, evaluations, trouble, waits, builds, held: this.repository.held?.commit };
    const row = this.rolloutOf(revision.id);
    // One that is evaluated again has no hosts yet, and so nothing to roll out.
    if (row === undefined || !isHandingOut(revision.state)) return { ...known, rollout: undefined };
    const fleet = await this.fleet();
    const current = fleet.rollout;
    const { next } = fleet;
    if (next?.id === row.id) {
      const facts = current && rolloutFacts(current, fleet.hosts, now);
      const detail = viewNext(next, waitsOf(fleet, facts, now));
      return { ...known, rollout: { row, policy: undefined, summary: undefined, detail, frozenAt: undefined } };
    }
    if (current?.id !== row.id) {
      const story = (await this.#readStories()).get(revision.id);
      return {
        ...known,
        rollout: {
          row,
          policy: undefined,
          summary: story,
          detail: viewStory(row.course, story?.rings ?? []),
          frozenAt: story?.at ?? revision.supersededAt,
        },
      };
    }
    const hosts = new Map(fleet.hosts.map((each) => [each.row.host, each]));
    const summary = summarizeRollout(rolloutHosts({ evaluations, hosts, now, isAborted: current.state === 'ABORTED' }));
    const detail = viewDetail(current, rolloutFacts(current, fleet.hosts, now), { ...looked, hosts: fleet.hosts });
    return { ...known, rollout: { row: current, policy: current.policy, summary, detail, frozenAt: undefined } };
  }

  async #readStories(): Promise<ReadonlyMap<string, RolloutStory>> {
    const read = async () =>
      new Map((await this.#store.rollouts.stories(this.revisions.map(({ id }) => id))).map((story) => [story.revisionId, story]));
    this.#stories ??= read();
    return await this.#stories;
  }
}
