import { fitDescription } from '@floe/forge';
import { isComplete, type CommitSha, type HostName, type StatusContext, type StatusText } from '@floe/model';
import { createWake, isAboutSubject, type Clock, type Logger, type Troubles } from '@floe/runtime';
import type { Revision, Store } from '@floe/store';
import { describeBuild, describeEvaluation } from '@floe/views';
import type { FleetFeed } from './feed.ts';
import { describeStanding, viewStanding, type FleetReader, type RevisionStanding } from './fleet-reader.ts';

/** Statuses of this many newest revisions are kept true; older ones were settled when they were newest. */
const RECENT_REVISIONS = 5;

export interface AnnouncerDeps {
  readonly store: Store;
  readonly reader: FleetReader;
  readonly feed: FleetFeed;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly troubles: Troubles;
  readonly repositoryId: string;
  readonly publicUrl: string;
  /** What could not be read, in sentences for people: after each pass. */
  readonly onRead?: (leftOut: readonly string[]) => void;
  /** False: no forge is configured, nothing is put into the outbox. */
  readonly hasForge: boolean;
}

/** Of the server as a whole: no host and no revision has a name like it. */
const SERVER_SUBJECT = 'server: announcer';

/** A push makes a burst of passes: what they bring is told together. Short enough that nobody sees it. */
const GATHER_MS = 50;
const IDLE_MS = 60_000;
/** Of thousands of hosts there is always news: after each telling others get this many times as long. */
const REST_FACTOR = 3;
/** After a failure (database away), the next try. */
const RETRY_MS = 1_000;

/**
 * Shortly after each pass: shows what changed to those who watch, ends a rollout that is complete, and puts the commit
 * statuses that should stand now into the outbox (which drops what the forge has already).
 */
export class Announcer {
  readonly #deps: AnnouncerDeps;
  readonly #wake = createWake();
  #marked: Set<HostName> | 'all' = new Set();
  /** What the statuses of a revision that was overtaken were put for. */
  readonly #told = new Map<string, string>();

  constructor(deps: AnnouncerDeps) {
    this.#deps = deps;
  }

  /** What a pass of steering looked at is to be told. */
  mark(hosts: ReadonlySet<HostName> | 'all'): void {
    if (hosts === 'all') this.#marked = 'all';
    else if (this.#marked !== 'all') for (const host of hosts) this.#marked.add(host);
    this.#wake.wake();
  }

  /** Tells what was marked, until `signal` aborts. `onTold`: the outbox may have news. */
  async run(signal: AbortSignal, onTold: () => void): Promise<void> {
    const { clock, logger, troubles } = this.#deps;
    let tookMs = 0;
    while (!signal.aborted) {
      if (!(await this.#wake.wait(IDLE_MS, signal))) continue;
      await clock.sleep(Math.max(GATHER_MS, tookMs * REST_FACTOR), signal);
      if (signal.aborted) return;
      const startedAt = clock.monotonic();
      const hosts = this.#marked;
      this.#marked = new Set();
      try {
        await this.#announce(hosts);
        troubles.end('telling what changed', SERVER_SUBJECT);
        onTold();
      } catch (error) {
        // Not an end for all: hosts are told and heard without it.
        if (isAboutSubject(error)) troubles.note('telling what changed', SERVER_SUBJECT, error);
        else logger.warn('telling failed; trying again', { error });
        this.mark(hosts);
        await clock.sleep(RETRY_MS, signal);
      }
      tookMs = clock.monotonic() - startedAt;
    }
  }

  async #announce(hosts: ReadonlySet<HostName> | 'all'): Promise<void> {
    const { store, reader, feed, troubles, repositoryId } = this.#deps;
    const repository = await store.repositories.get(repositoryId);
    await troubles.each(
      'showing them',
      ['server: hosts'],
      (subject) => subject,
      async () => {
        const views = await reader.hosts(hosts);
        for (const host of views) feed.show({ type: 'host', host });
        const there = new Set<string>(views.map(({ host }) => host));
        feed.keepHosts((host) => there.has(host) || (hosts !== 'all' && !hosts.has(host as HostName)));
      },
    );
    const recent = await store.revisions.list(repositoryId, RECENT_REVISIONS);
    const current = await store.rollouts.current(repositoryId);
    const shared = { held: repository.held?.commit, currentRollout: current?.id };
    await troubles.each(
      'showing it',
      recent.toReversed(),
      ({ id }) => `revision ${id}`,
      async (revision) => {
        const newer = recent.filter((each) => each.sequence > revision.sequence);
        const isMoving = newer.length === 0 || current?.revisionId === revision.id;
        // What was overtaken changes with these alone; reading all its hosts in each pass would be for nothing.
        const key = `${revision.state} ${(await store.rollouts.forRevision(revision.id))?.state} ${newer.at(-1)?.id}`;
        if (!isMoving && this.#told.get(revision.id) === key) return;
        const standing = await this.#settleRollout(await reader.standing(revision, shared));
        if (revision.sha !== shared.held) await this.#putStatuses(standing, newer);
        if (newer.length === 0) feed.show({ type: 'revision', revision: viewStanding(standing) });
        this.#told.set(revision.id, key);
      },
    );
    for (const id of this.#told.keys()) if (!recent.some((revision) => revision.id === id)) this.#told.delete(id);
    if (repository.held !== undefined) {
      await this.#put(repository.held.commit, 'floe/evaluate', { state: 'error', description: `held: ${repository.held.reason}` });
    }
    // Last: what was read by now is what the notices tell of.
    this.#deps.onRead?.(store.leftOut());
    feed.show({ type: 'repository', repository: reader.repository(repository) });
  }

  async #settleRollout(standing: RevisionStanding): Promise<RevisionStanding> {
    const { store, clock } = this.#deps;
    const { rollout } = standing;
    if (rollout?.row.state !== 'ROLLING' || !rollout.isCurrent || rollout.standing === undefined) return standing;
    if (!isComplete(rollout.standing.counts, rollout.standing.leaving)) return standing;
    const completedAt = clock.now();
    const isSet = await store.rollouts.setState(rollout.row.id, 'ROLLING', 'COMPLETE', completedAt);
    return isSet ? { ...standing, rollout: { ...rollout, row: { ...rollout.row, state: 'COMPLETE', completedAt } } } : standing;
  }

  async #put(sha: CommitSha, context: StatusContext, status: StatusText & { readonly onlyOverPending?: boolean }): Promise<void> {
    const { store, clock, repositoryId, publicUrl, hasForge } = this.#deps;
    if (!hasForge) return;
    // Here, so that nothing leaves unfitted: names and reasons are the repository's words.
    const description = fitDescription(status.description);
    await store.outbox.put({ repositoryId, sha, context, ...status, description, targetUrl: `${publicUrl}/#/revisions/${sha}`, now: clock.now() });
  }

  /** `newer`: the revisions after it, newest first. */
  async #putStatuses(standing: RevisionStanding, newer: readonly Revision[]): Promise<void> {
    const { revision, evaluations } = standing;
    const { sha } = revision;
    // The same commit can come again later (a branch put back): the newest revision of it speaks for it.
    if (newer.some((each) => each.sha === sha)) return;
    const supersededBy = revision.supersededBy ?? newer.at(-1)?.sha;

    await this.#put(sha, 'floe/evaluate', describeEvaluation({ revision, evaluations, supersededBy }));
    if (evaluations.length > 0) await this.#put(sha, 'floe/build', describeBuild({ revision, evaluations, supersededBy }));
    const status = describeStanding(standing);
    // What was not written down when it ended says less than a verdict that stands.
    if (status !== undefined) await this.#put(sha, 'floe/rollout', { ...status, onlyOverPending: standing.rollout?.standing === undefined });
  }
}
