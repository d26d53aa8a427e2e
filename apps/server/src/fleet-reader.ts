import {
  DEFAULT_PRESENCE,
  isEndedRollout,
  namesNeedingAttention,
  offerOf,
  pausedFailures,
  presenceOf,
  type HostName,
  type Offer,
  type StatusText,
  type StorePath,
  standingStops,
} from '@floe/model';
import type { FleetView, HostView, Progress, RepositoryView, RevisionView, RolloutHostsView, WhyView } from '@floe/protocol';
import type { Clock, Troubles } from '@floe/runtime';
import { isOrdered, type Evaluation, type Fleet, type FleetHost, type RevisionInList, type Rollout, type PlainStore } from '@floe/store';
import { describeCourse, describeRing, describeRollout, describeSuperseded, nextWords, utcTime, waitsForPeople } from '@floe/views';
import { CommitNames } from './commit-names.ts';
import type { FetchWatch } from './fetch-watch.ts';
import type { FleetFeed } from './feed.ts';
import { FleetSnapshot, type RevisionPage, type RevisionSeen, type SnapshotStore } from './fleet-snapshot.ts';
import { ordersOf, presenceFactsOf, troubleOf, viewHost, viewRepository, viewRevision } from './fleet-view.ts';
import { namesFrom } from './names-from.ts';
import type { Notices } from './notices.ts';
import { rolloutFacts } from './rollouts/facts.ts';
import { viewRolloutHosts } from './rollouts/hosts-view.ts';
import { viewFreeze, viewStops } from './rollouts/view.ts';
import { viewWhy } from './rollouts/why.ts';

const UNKNOWN: Offer = { kind: 'unknown' };

export interface FleetReaderDeps {
  readonly store: SnapshotStore & {
    readonly releases: Pick<PlainStore['releases'], 'commitsOf'>;
    readonly reports: Pick<PlainStore['reports'], 'failureLogs'>;
  };
  readonly clock: Clock;
  /** By which hosts are judged to be silent; undefined: the clock. */
  readonly listening?: Pick<Clock, 'now'>;
  readonly feed: Pick<FleetFeed, 'version'>;
  readonly notices: Pick<Notices, 'list'>;
  readonly fetches: Pick<FetchWatch, 'shown'>;
  readonly repositoryId: string;
  readonly troubles: Pick<Troubles, 'of' | 'note' | 'end'>;
}

/** A week: how a trial ended is asked for soon after it, and stays in the log of decisions. */
const SHOW_TRIAL_END_MS = 7 * 24 * 3600_000;

/** What a revision has for the hosts that are shown, and for those that were called so before. */
type EvaluationsOf = (revisionId: string) => Promise<readonly Evaluation[]>;

/** Puts views together: of what the store has, and of what only this process knows. */
export class FleetReader {
  readonly #deps: FleetReaderDeps;
  /** Downloads under way; memory only, since they are lossy. */
  readonly #progress = new Map<HostName, HostView['progress']>();
  /** What hosts say that they have downloaded ahead; memory only: they say it again after each hint. */
  readonly #staged = new Map<HostName, StorePath>();
  /** Of the newest pause. */
  #logs: { readonly key: string; readonly logs: ReadonlyMap<HostName, string> } | undefined;

  /** When a host becomes stale or lost, if it stays silent. */
  readonly #presenceChanges = new Map<HostName, number>();

  readonly #commitNames: CommitNames;

  constructor(deps: FleetReaderDeps) {
    this.#deps = deps;
    this.#commitNames = new CommitNames(deps.store.releases);
  }

  noteProgress(host: HostName, progress: Progress): void {
    this.#progress.set(host, { doneBytes: progress.doneBytes, expectedBytes: progress.expectedBytes });
  }

  noteStaged(host: HostName, toplevel: StorePath): void {
    this.#staged.set(host, toplevel);
  }

  async snapshot(page: RevisionPage): Promise<FleetSnapshot> {
    return await FleetSnapshot.read(this.#deps.store, this.#deps.repositoryId, page);
  }

  async fleet(): Promise<FleetView> {
    // Before anything is read: what changes meanwhile comes as an event.
    const { version } = this.#deps.feed;
    const snapshot = await this.snapshot({ limit: 1 });
    const [revision] = snapshot.revisions;
    const hosts = await this.#views(snapshot, 'all');
    return {
      version,
      serverTime: this.#deps.clock.now(),
      repository: await this.repository(snapshot),
      revision: revision === undefined ? null : viewSeen(await this.see(snapshot, revision)),
      hosts,
    };
  }

  async repository(snapshot: FleetSnapshot): Promise<RepositoryView> {
    const seen = { notices: this.#deps.notices.list(), fetching: this.#deps.fetches.shown };
    return viewRepository(snapshot.repository, { ...seen, ...(await this.#followed(snapshot)) });
  }

  /** What hosts follow, besides the newest revision. */
  async #followed(snapshot: FleetSnapshot): Promise<Pick<RepositoryView, 'followed' | 'freeze' | 'stops'>> {
    if (snapshot.revisions.length === 0) return { followed: null, freeze: null, stops: [] };
    const { rollout } = await snapshot.fleet();
    const now = this.#deps.clock.now();
    const freeze = rollout === undefined ? null : viewFreeze(rollout.orders, now);
    const stops = rollout === undefined ? [] : viewStops(standingStops(rollout.orders, now));
    if (rollout === undefined || rollout.revisionId === snapshot.revisions[0]?.id || isEndedRollout(rollout.state))
      return { followed: null, freeze, stops };
    const older = snapshot.revisions.find(({ id }) => id === rollout.revisionId);
    const view = older === undefined ? await this.rollout() : viewSeen(await this.see(snapshot, older));
    return { followed: view?.rollout == null ? null : { sha: view.sha, subject: view.subject, rollout: view.rollout }, freeze, stops };
  }

  /** To be shown to all who watch, without those that cannot be. */
  async hosts(snapshot: FleetSnapshot, which: ReadonlySet<HostName> | 'all'): Promise<HostView[]> {
    return await this.#views(snapshot, which);
  }

  /** Notes when the presence of these hosts changes, for {@link dueHosts}. Resolves to how many they are. */
  async notePresence(snapshot: FleetSnapshot, which: ReadonlySet<HostName> | 'all'): Promise<number> {
    if (which === 'all') this.#presenceChanges.clear();
    else for (const host of which) this.#presenceChanges.delete(host);
    if (which !== 'all' && which.size === 0) return 0;
    const { rollout, hosts } = await snapshot.fleet();
    const limits = rollout?.policy.presence ?? DEFAULT_PRESENCE;
    const now = this.judgedUntil();
    const these = which === 'all' ? hosts : hosts.filter(({ row }) => which.has(row.host));
    for (const { row } of these) {
      const { changesAt } = presenceOf(presenceFactsOf(row), limits, now);
      if (changesAt !== undefined) this.#presenceChanges.set(row.host, changesAt);
    }
    return these.length;
  }

  async #views(snapshot: FleetSnapshot, which: ReadonlySet<HostName> | 'all'): Promise<HostView[]> {
    if (which !== 'all' && which.size === 0) return [];
    const fleet = await snapshot.fleet();
    const view = await this.#viewer(snapshot, fleet, async (id) => await snapshot.evaluations(id));
    const these = fleet.hosts.filter(({ row }) => which === 'all' || which.has(row.host));
    return await this.#commitNames.name(these.flatMap((each) => this.#shown(each, view)));
  }

  /** One that cannot be shown is left out, and is its own trouble: the others are shown without it. */
  #shown(each: FleetHost, view: (host: FleetHost) => HostView): readonly HostView[] {
    const { troubles } = this.#deps;
    const { host } = each.row;
    try {
      const shown = view(each);
      troubles.end('showing it', host);
      return [shown];
    } catch (error) {
      troubles.note('showing it', host, error);
      return [];
    }
  }

  /** One host, read alone; undefined: there is none of that name. */
  async host(host: HostName): Promise<HostView | undefined> {
    const snapshot = await this.snapshot({ limit: 1 });
    const fleet = await this.#deps.store.hosts.fleet(this.#deps.repositoryId, [host]);
    const { revisions } = this.#deps.store;
    const view = await this.#viewer(snapshot, fleet, async (id) => await revisions.evaluationsAbout(id, host));
    return (await this.#commitNames.name(fleet.hosts.map(view)))[0];
  }

  /** What stands between the host and the newest commit; undefined: there is no host of that name. */
  async why(host: HostName): Promise<WhyView | undefined> {
    const snapshot = await this.snapshot({ limit: 1 });
    const [newest] = snapshot.revisions;
    const evaluations = newest === undefined ? [] : await snapshot.evaluations(newest.id);
    const fleet = await snapshot.fleet();
    const labelled = fleet.rollout === undefined ? [] : await snapshot.evaluations(fleet.rollout.revisionId);
    const stone = fleet.hosts.find(({ row }) => row.host === host)?.situation.stone;
    const [ofStone] = stone === undefined ? [] : await this.#deps.store.releases.commitsOf([{ host, toplevel: stone.toplevel }]);
    const stoneCommit = ofStone?.sequence === stone?.sequence ? ofStone?.commit : undefined;
    const waits = newest === undefined ? undefined : await snapshot.waits(newest);
    return viewWhy(host, { fleet, newest, waits, evaluations, labelled, staged: this.#staged, stoneCommit, now: this.#deps.clock.now() });
  }

  /** Views of hosts as the newest finished revision has them. */
  async #viewer(snapshot: FleetSnapshot, { rollout }: Fleet, evaluationsOf: EvaluationsOf): Promise<(host: FleetHost) => HostView> {
    const finished = await snapshot.finished();
    const evaluations = finished === undefined ? [] : await evaluationsOf(finished.id);
    const byHost = new Map(evaluations.map((evaluation) => [evaluation.host, evaluation]));
    const names = namesFrom(evaluations);
    const isAborted = rollout?.state === 'ABORTED' && rollout.revisionId === finished?.id;
    const limits = rollout?.policy.presence ?? DEFAULT_PRESENCE;
    const now = this.judgedUntil();
    const { sequence: newest } = snapshot.repository;
    return (each) => {
      const { row, situation, desired, quarantines, trial, endedTrial, submission, desiredCommit } = each;
      const evaluation = byHost.get(row.host);
      return viewHost(row, {
        presence: presenceOf(presenceFactsOf(row), limits, now).presence,
        now,
        desired,
        offer: finished === undefined ? UNKNOWN : offerOf(finished.state, evaluation, isAborted || isOrdered(situation, evaluation)),
        evaluation,
        quarantines,
        trial,
        stone: situation.stone !== undefined && situation.quarantined.has(situation.stone.toplevel) ? situation.stone.name : undefined,
        renameTo: names.get(row.host),
        submission: submission !== undefined && now - (submission.endedAt ?? now) < SHOW_TRIAL_END_MS ? submission : undefined,
        endedTrial: endedTrial !== undefined && now - endedTrial.endedAt < SHOW_TRIAL_END_MS ? endedTrial : undefined,
        desiredCommit: desiredCommit ?? null,
        progress: this.#progress.get(row.host) ?? null,
        orders: ordersOf(each),
        stops: viewStops(each.situation.stops),
        trouble: troubleOf(row, this.#deps.troubles.of(row.host), newest),
      });
    };
  }

  /** Hosts that have become stale or lost since that was last noted. */
  dueHosts(): ReadonlySet<HostName> {
    const now = this.judgedUntil();
    return new Set([...this.#presenceChanges].filter(([, at]) => now >= at).map(([host]) => host));
  }

  /** Up to when hosts were listened to: what was not heard by then is missed. */
  judgedUntil(): number {
    const { listening, clock } = this.#deps;
    return (listening ?? clock).now();
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

  /** The revision whose rollout hosts follow; undefined: nothing was rolled out yet. */
  async rollout(): Promise<RevisionView | undefined> {
    const { store, repositoryId } = this.#deps;
    const { rollout } = await store.hosts.fleet(repositoryId, []);
    const revision = rollout === undefined ? undefined : await store.revisions.get(rollout.revisionId);
    return revision === undefined ? undefined : await this.revision(revision);
  }

  /** Who is how far in the rollout that hosts follow; undefined: there is none that can be read. */
  async rolloutHosts(): Promise<RolloutHostsView | undefined> {
    const snapshot = await this.snapshot({ limit: 1 });
    const { rollout, hosts } = await snapshot.fleet();
    const revision = rollout === undefined ? undefined : await this.#deps.store.revisions.get(rollout.revisionId);
    if (rollout?.unreadable !== undefined || rollout === undefined || revision === undefined) return undefined;
    const views = new Map((await this.#views(snapshot, 'all')).map((view) => [view.host, view]));
    return { sha: revision.sha, hosts: viewRolloutHosts(rollout, rolloutFacts(rollout, hosts, this.#deps.clock.now()), views) };
  }

  async see(snapshot: FleetSnapshot, revision: RevisionInList): Promise<RevisionSeen> {
    const logs = await this.#readLogs(snapshot.rolloutOf(revision.id));
    return await snapshot.see(revision, this.#deps.troubles.of(`revision ${revision.id}`), {
      now: this.#deps.clock.now(),
      staged: this.#staged,
      logs,
    });
  }

  /** Once for each pause: the logs of its failures are there before it. */
  async #readLogs(rollout: Rollout | undefined): Promise<ReadonlyMap<HostName, string> | undefined> {
    const pause = rollout?.state === 'PAUSED' ? rollout.course.pause : undefined;
    const paused = pausedFailures(pause);
    if (rollout === undefined || paused === undefined) return undefined;
    const key = `${rollout.id} ${rollout.course.since}`;
    if (this.#logs?.key !== key) this.#logs = { key, logs: await this.#deps.store.reports.failureLogs(paused.failures) };
    return this.#logs.logs;
  }
}

/** As people see it. */
export function viewSeen(seen: RevisionSeen): RevisionView {
  const { revision: stored, evaluations, trouble, rollout, waits, builds, held } = seen;
  const revision = { ...stored, error: stored.error ?? trouble?.message };
  const description = describeSeen(seen)?.description ?? '';
  return viewRevision(revision, evaluations, rollout === undefined ? undefined : { ...rollout, description }, { waits, builds, held });
}

/** What the commit says of each ring of its rollout, where there are several; empty, too, when they are not known. */
export function describeSeenRings({ revision, rollout }: RevisionSeen): readonly { readonly ring: string; readonly status: StatusText }[] {
  const { rings = [], pause = null } = rollout?.detail ?? {};
  if (rollout === undefined || rings.length < 2) return [];
  const { state } = rollout.row;
  return rings.map((ring) => ({ ring: ring.name, status: describeRing(ring, { state, pause, rings }, revision.supersededBy) }));
}

/** What the commit says of its rollout: where it stands, or what had come of it; undefined when there is none. */
export function describeSeen({ revision, rollout }: RevisionSeen): StatusText | undefined {
  if (rollout === undefined) return undefined;
  const { row, policy, summary, detail } = rollout;
  if (detail.waits !== null) return { state: 'pending', description: nextWords(detail.waits, utcTime) };
  const { supersededBy } = revision;
  if (summary === undefined) return describeSuperseded(supersededBy);
  const now = describeRollout(summary.counts, namesNeedingAttention(summary), {
    isComplete: row.state === 'COMPLETE',
    leaving: summary.leaving,
    building: detail.rings.reduce((sum, { building }) => sum + building, 0),
    evaluating: Math.max(0, ...detail.rings.map(({ evaluating }) => evaluating)),
  });
  if (policy === undefined) return describeSuperseded(supersededBy, describeCourse(row.course, detail, now) ?? now);
  const said =
    describeCourse(row.course, policy, now, { revert: detail.revert, isBuilt: !waitsForPeople({ state: row.state, rings: detail.rings }) }) ?? now;
  return { ...said, isUnderWay: summary.counts['under-way'] + summary.leaving > 0 };
}
