import { fitDescription } from '@floe/forge';
import {
  HELD_PREFIX,
  isCommit,
  isEndedRevision,
  RING_CONTEXT,
  type CommitSha,
  type HostName,
  type StatusContext,
  type StatusText,
} from '@floe/model';
import { createWake, isAboutSubject, type Clock, type Logger, type Troubles } from '@floe/runtime';
import type { RevisionInList, Rollout, PlainStore, WantedStatus } from '@floe/store';
import { describeBuild, describeEvaluation, describeNoRollout, nameMany } from '@floe/views';
import type { FleetFeed } from './feed.ts';
import { describeSeen, describeSeenRings, viewSeen, type FleetReader } from './fleet-reader.ts';
import type { FleetSnapshot, RevisionSeen } from './fleet-snapshot.ts';

/** Statuses of this many newest revisions are kept up to date, and of older ones those that hosts follow or that are pending. */
const RECENT_REVISIONS = 5;

/** What the announcer writes: the desired statuses. */
export interface AnnouncerStore {
  readonly outbox: Pick<PlainStore['outbox'], 'putAll'>;
  leftOut(): readonly string[];
}

export interface AnnouncerDeps {
  readonly store: AnnouncerStore;
  readonly reader: FleetReader;
  readonly feed: FleetFeed;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly troubles: Troubles;
  readonly repositoryId: string;
  readonly publicUrl: string;
  /** The sentences about unreadable rows, after each pass. */
  readonly onRead?: (leftOut: readonly string[]) => void;
  /** What a look found, for those who tell people elsewhere. `hasHosts`: the hosts were read. */
  readonly onSeen?: (snapshot: FleetSnapshot, seen: readonly RevisionSeen[], hasHosts: boolean) => Promise<void>;
  /** False: no forge is configured, and nothing is put into the outbox. */
  readonly hasForge: boolean;
}

/** The subject for errors of the whole server; no host or revision can have this name. */
const SERVER_SUBJECT = 'server: announcer';

/** A push causes a burst of passes, whose changes are announced together. Short enough to be unnoticeable. */
const GATHER_MS = 50;
const IDLE_MS = 60_000;
/** A build that takes longer is named on the commit. */
const NAMED_AFTER_MS = 60_000;
/** A fleet of thousands always has changes: after each announcement other work gets this many times as long. */
const REST_FACTOR = 3;
/** What changes about so many hosts at once is gathered for so long. */
const MANY_HOSTS = 1_000;
const MANY_GATHER_MS = 1_000;
/** Delay of the next try after a failure (the database does not answer). */
const RETRY_MS = 1_000;

function isFollowed(rollout: Rollout | undefined): boolean {
  return rollout !== undefined && rollout.waitingSince === undefined;
}

/**
 * Shortly after each pass: shows what changed to those who watch, and puts the commit statuses that should stand now into the outbox
 * (which drops what the forge has already).
 */
export class Announcer {
  readonly #deps: AnnouncerDeps;
  readonly #wake = createWake();
  #marked: Set<HostName> | 'all' = new Set();
  /** What the statuses of a revision that was overtaken were put for. */
  readonly #told = new Map<string, string>();
  /** Hosts that could not be shown when they were to be. */
  readonly #unshown = new Set<string>();

  constructor(deps: AnnouncerDeps) {
    this.#deps = deps;
  }

  /** Marks hosts whose views and statuses the next pass computes again. */
  mark(hosts: ReadonlySet<HostName> | 'all'): void {
    if (hosts === 'all') this.#marked = 'all';
    else if (this.#marked !== 'all') for (const host of hosts) this.#marked.add(host);
    this.#wake.wake();
  }

  /** Tells what was marked, until `signal` aborts. `onTold`: the outbox may have news. */
  async run(signal: AbortSignal, onTold: () => void): Promise<void> {
    const { clock, logger, troubles } = this.#deps;
    let restMs = 0;
    /** Of the last announcement that was about all. */
    let fleetSize = 0;
    while (!signal.aborted) {
      if (!(await this.#wake.wait(IDLE_MS, signal))) continue;
      const marked = this.#marked === 'all' ? fleetSize : this.#marked.size;
      await clock.sleep(Math.max(restMs, marked >= MANY_HOSTS ? MANY_GATHER_MS : GATHER_MS), signal);
      if (signal.aborted) return;
      const startedAt = clock.monotonic();
      const hosts = this.#marked;
      this.#marked = new Set();
      try {
        const count = await this.#announce(hosts);
        if (hosts === 'all') fleetSize = count;
        troubles.end('telling what changed', SERVER_SUBJECT);
        onTold();
      } catch (error) {
        // Not fatal: steering and reports do not need the announcer.
        if (isAboutSubject(error)) troubles.note('telling what changed', SERVER_SUBJECT, error);
        else logger.warn('telling failed; trying again', { error });
        this.mark(hosts);
        await clock.sleep(RETRY_MS, signal);
      }
      restMs = REST_FACTOR * (clock.monotonic() - startedAt);
    }
  }

  /** Resolves to the number of hosts that it was about. */
  async #announce(hosts: ReadonlySet<HostName> | 'all'): Promise<number> {
    const { store, reader, feed, troubles } = this.#deps;
    const snapshot = await reader.snapshot({ limit: RECENT_REVISIONS, isToTell: true });
    const recent = snapshot.revisions;
    const news = this.#newsOf(snapshot);
    await snapshot.readEvaluations(news.map(({ revision }) => revision.id));
    if (snapshot.isTorn) {
      this.mark(hosts);
      return 0;
    }
    // Of one look: who begins to watch meanwhile is shown all by the next one.
    const { isWatched } = feed;
    if (!isWatched) feed.skip();
    let count = 0;
    await troubles.each(
      'showing them',
      ['server: hosts'],
      (subject) => subject,
      async () => {
        count = await reader.notePresence(snapshot, hosts);
        if (isWatched) await this.#showHosts(snapshot, feed.isBehind ? 'all' : hosts);
      },
    );
    // By what they are about, so that trouble with one is noted there, and ends when all of it went well.
    const wanted: { readonly subject: string; readonly statuses: readonly WantedStatus[] }[] = [];
    const told = new Map<string, string>();
    const all: RevisionSeen[] = [];
    await troubles.each(
      'showing it',
      news,
      ({ revision }) => `revision ${revision.id}`,
      async ({ revision, newer, key }) => {
        const seen = await reader.see(snapshot, revision);
        all.push(seen);
        wanted.push({ subject: `revision ${revision.id}`, statuses: this.#statusesOf(seen, newer) });
        if (isWatched && newer.length === 0) feed.show({ type: 'revision', revision: viewSeen(seen) });
        told.set(revision.id, key);
      },
    );
    const { held } = snapshot.repository;
    if (held !== undefined) {
      const status = this.#status(held.commit, 'floe/evaluate', { state: 'error', description: `${HELD_PREFIX}${held.reason}` });
      wanted.push({ subject: 'server: held', statuses: [status] });
    }
    if (this.#deps.hasForge) {
      await troubles.together(
        'putting its status',
        wanted,
        ({ subject }) => subject,
        async (some) => await store.outbox.putAll(some.flatMap(({ statuses }) => statuses)),
      );
    }
    await this.#deps.onSeen?.(snapshot, all, hosts === 'all' || hosts.size > 0);
    // Only now: what could not be put for want of the database is put by the next pass.
    for (const [id, key] of told) this.#told.set(id, key);
    for (const id of this.#told.keys()) if (!recent.some((revision) => revision.id === id)) this.#told.delete(id);
    // Last: what was read by now is what the notices tell of.
    this.#deps.onRead?.(store.leftOut());
    if (isWatched) feed.show({ type: 'repository', repository: await reader.repository(snapshot) });
    // Also where hosts could not be shown: else nobody would hear of commits either.
    if (isWatched) feed.caughtUp();
    return count;
  }

  async #showHosts(snapshot: FleetSnapshot, hosts: ReadonlySet<HostName> | 'all'): Promise<void> {
    const { reader, feed } = this.#deps;
    if (hosts !== 'all' && hosts.size === 0) return;
    const views = await reader.hosts(snapshot, hosts);
    for (const host of views) feed.show({ type: 'host', host });
    const shown = new Set<string>(views.map(({ host }) => host));
    const there = new Set<string>((await snapshot.fleet()).hosts.map(({ row }) => row.host));
    feed.keepHosts((host) => there.has(host));
    for (const host of there) if (!shown.has(host) && (hosts === 'all' || hosts.has(host as HostName))) this.#unshown.add(host);
    for (const host of this.#unshown) if (shown.has(host) || !there.has(host)) this.#unshown.delete(host);
    if (this.#unshown.size > 0) throw new Error(`${nameMany([...this.#unshown])} cannot be shown, and the log says why`);
  }

  /**
   * The revisions that there may be news of, oldest first: the newest, and the one that hosts follow. A superseded
   * revision changes only with its own state or its successor, so its hosts are not read in each pass.
   */
  #newsOf({ revisions, rolloutOf, repository }: FleetSnapshot) {
    // One that waits for the rollout before it is not followed yet: hosts still follow that one.
    const followed = revisions.find(({ id }) => isFollowed(rolloutOf(id)));
    return revisions
      .map((revision, index) => {
        const newer = revisions.slice(0, index);
        const isHeld = revision.sha === repository.held?.commit;
        const key = `${revision.state} ${rolloutOf(revision.id)?.state} ${newer.at(-1)?.id} ${isHeld} ${revision === followed}`;
        return { revision, newer, key };
      })
      .filter(({ revision, newer, key }) => newer.length === 0 || revision === followed || this.#told.get(revision.id) !== key)
      .toReversed();
  }

  #status(sha: CommitSha, context: StatusContext, status: StatusText & { readonly onlyOverPending?: boolean }): WantedStatus {
    const { clock, repositoryId, publicUrl } = this.#deps;
    // Here, so that nothing leaves unfitted: names and reasons are the repository's words.
    const description = fitDescription(status.description);
    return { repositoryId, sha, context, ...status, description, targetUrl: `${publicUrl}/#/revisions/${sha}`, now: clock.now() };
  }

  /** `newer`: the revisions after it, newest first. */
  #statusesOf(seen: RevisionSeen, newer: readonly RevisionInList[]): WantedStatus[] {
    const { revision, evaluations } = seen;
    const { sha } = revision;
    // What was submitted without a commit is nothing that the forge knows.
    if (!isCommit(sha)) return [];
    // The same commit can come again later (a branch moved back): the newest revision of it speaks for it.
    if (newer.some((each) => each.sha === sha)) return [];
    const supersededBy = revision.supersededBy ?? newer.at(-1)?.sha;
    const long = seen.builds.find(({ since }) => since <= this.#deps.clock.now() - NAMED_AFTER_MS);
    const longest = long?.host ?? (long?.check === undefined ? undefined : `the check ${long.check}`);
    const facts = { revision, evaluations, waits: seen.waits, longest, supersededBy };
    const isEnded = isEndedRevision(revision.state);
    const statuses: WantedStatus[] = [];
    // Of a held commit it says that it waits; what else was told of it before stays true.
    if (sha !== seen.held) statuses.push(this.#status(sha, 'floe/evaluate', describeEvaluation(facts)));
    // What was told before the commit was evaluated again must not stay pending when nothing comes of it.
    if (evaluations.length > 0 || isEnded)
      statuses.push(this.#status(sha, 'floe/build', { ...describeBuild(facts), onlyOverPending: evaluations.length === 0 }));
    const rollout = describeSeen(seen) ?? (isEnded ? describeNoRollout(facts) : undefined);
    // Without a recorded result, only a pending status is replaced.
    if (rollout !== undefined) statuses.push(this.#status(sha, 'floe/rollout', { ...rollout, onlyOverPending: seen.rollout?.summary === undefined }));
    const rings = describeSeenRings(seen);
    for (const { ring, status } of rings) statuses.push(this.#status(sha, `${RING_CONTEXT}${ring}`, status));
    // Of rings that are not known any more, what is pending ends with the rollout.
    const isOver = seen.rollout?.policy === undefined && rollout !== undefined && rollout.state !== 'pending';
    if (rings.length === 0 && isOver) statuses.push(this.#status(sha, RING_CONTEXT, { ...rollout, onlyOverPending: true }));
    return statuses;
  }
}
