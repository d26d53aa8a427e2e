import { describeBuild, describeEvaluation, describeRollout, type StatusContext, type StatusText } from '@floe/forge';
import type { CommitSha, HostName } from '@floe/model';
import type { Clock } from '@floe/runtime';
import type { Revision, Store } from '@floe/store';
import type { FleetFeed } from './feed.ts';
import type { FleetReader } from './fleet-reader.ts';
import { viewRepository } from './fleet-view.ts';

/** Statuses of this many newest revisions are kept true; older ones were settled when they were newest. */
const RECENT_REVISIONS = 5;

export interface AnnouncerDeps {
  readonly store: Store;
  readonly reader: FleetReader;
  readonly feed: FleetFeed;
  readonly clock: Clock;
  readonly repositoryId: string;
  readonly publicUrl: string;
  /** False: no forge is configured, nothing is put into the outbox. */
  readonly hasForge: boolean;
}

/**
 * After each pass: shows what changed to those who watch, ends a rollout that is complete, and puts the commit
 * statuses that should stand now into the outbox (which drops what the forge has already).
 */
export class Announcer {
  readonly #deps: AnnouncerDeps;

  constructor(deps: AnnouncerDeps) {
    this.#deps = deps;
  }

  async announce(hosts: ReadonlySet<HostName> | 'all'): Promise<void> {
    const { store, reader, feed, repositoryId } = this.#deps;
    const repository = await store.repositories.get(repositoryId);
    feed.show({ type: 'repository', repository: viewRepository(repository) });
    for (const host of await reader.hosts(hosts)) feed.show({ type: 'host', host });
    const recent = await store.revisions.list(repositoryId, RECENT_REVISIONS);
    for (const revision of recent.toReversed()) {
      if (revision.state === 'PUBLISHED') await this.#settleRollout(revision);
      if (revision.sha !== repository.held?.commit) await this.#putStatuses(revision, recent);
    }
    if (repository.held !== undefined)
      await this.#put(repository.held.commit, 'floe/evaluate', { state: 'error', description: `held: ${repository.held.reason}` });
    const newest = recent[0];
    if (newest !== undefined) feed.show({ type: 'revision', revision: await reader.revision(newest) });
  }

  async #settleRollout(revision: Revision): Promise<void> {
    const { store, reader, clock } = this.#deps;
    const rollout = await store.rollouts.forRevision(revision.id);
    if (rollout?.state !== 'ROLLING') return;
    const { isComplete } = await reader.rollout(revision);
    if (isComplete) await store.rollouts.setState(rollout.id, 'ROLLING', 'COMPLETE', clock.now());
  }

  async #put(sha: CommitSha, context: StatusContext, status: StatusText & { readonly onlyOverPending?: boolean }): Promise<void> {
    const { store, clock, repositoryId, publicUrl, hasForge } = this.#deps;
    if (hasForge) await store.outbox.put({ repositoryId, sha, context, ...status, targetUrl: `${publicUrl}/#/revisions/${sha}`, now: clock.now() });
  }

  async #putStatuses(revision: Revision, recent: readonly Revision[]): Promise<void> {
    const { store, reader } = this.#deps;
    const { sha } = revision;
    const evaluations = await store.revisions.evaluations(revision.id);
    const newer = recent.find((each) => each.sequence > revision.sequence);
    // The same commit can come again later (a branch put back): the newest revision of it speaks for it.
    if (recent.some((each) => each.sequence > revision.sequence && each.sha === sha)) return;

    await this.#put(sha, 'floe/evaluate', describeEvaluation({ revision, evaluations, supersededBy: newer?.sha }));
    if (evaluations.length > 0) await this.#put(sha, 'floe/build', describeBuild({ revision, evaluations, supersededBy: newer?.sha }));
    const row = await store.rollouts.forRevision(revision.id);
    if (row === undefined) return;
    const { counts, names } = await reader.rollout(revision);
    // Once overtaken, the hosts move on to the newer revision, and the count of this one would only sink.
    if (row.state === 'SUPERSEDED') {
      return await this.#put(sha, 'floe/rollout', {
        state: 'error',
        description: `superseded by ${newer?.sha.slice(0, 7) ?? 'a newer revision'}`,
        onlyOverPending: true,
      });
    }
    if (row.state !== 'COMPLETE') await this.#put(sha, 'floe/rollout', describeRollout(counts, names));
    else if (newer === undefined || newer.state !== 'PUBLISHED') await this.#put(sha, 'floe/rollout', describeRollout(counts, names));
  }
}
