import { FloeError } from '@floe/runtime';
import type { Repository, Revision } from '@floe/store';
import { nameMany } from '@floe/views';
import type { Building, BuildOutcome } from './building/build.ts';
import type { PublishedHost } from './building/publish-hosts.ts';
import { clear, once, unsignedUntilReleased, type Clearance, type ClearedRevision } from './clearance.ts';
import type { PipelineDeps } from './deps.ts';
import { evaluateHosts, isToBeBuilt } from './evaluation/evaluate-hosts.ts';
import { outcomeOfAll, prepareRevision, type EvaluateOutcome, type PrepareOutcome } from './evaluation/evaluate.ts';
import { flowHosts, leftOf } from './flow.ts';
import { refuseLate } from './late-hosts.ts';
import { recordEvent } from './record-event.ts';
import { releaseHosts } from './release.ts';

/** `done`: it went on from there, and has come to its end. */
export type EvaluatedRevision = Exclude<PrepareOutcome, { kind: 'listed' }> | EvaluateOutcome | { readonly kind: 'done' };

/**
 * Evaluates the hosts of the revision. From the first one that is to be built on, the revision is BUILDING, and each host flows to its release while
 * others are still evaluated. Not so of one that is evaluated again: what hosts have of it counts when all is known.
 */
export async function evaluateRevision(
  deps: PipelineDeps,
  repository: Repository,
  received: Revision,
  signal: AbortSignal,
): Promise<EvaluatedRevision> {
  const prepared = await prepareRevision(deps, received, signal);
  if (prepared.kind !== 'listed') return prepared;
  const { revision, left, kept, refused } = prepared;
  if ((await deps.store.releases.hostsOf(revision.id)).size > 0) {
    const rows = left.length === 0 ? [] : await evaluateHosts(deps, revision, left, signal);
    return outcomeOfAll([...kept, ...rows], refused);
  }
  let hasBegun = false;
  const begin = async (): Promise<Clearance> => {
    if (!(await recordEvent(deps, revision, 'evaluated')))
      throw new FloeError('REVISION_MOVED', 'the revision is in another state', { retryable: true });
    hasBegun = true;
    return await clear(deps, revision, signal);
  };
  const building = { handOut: handingOut(deps, repository), begin: once(begin) };
  const { rows, outcome } = await flowHosts(deps, revision, { evaluated: kept.filter(isToBeBuilt), left }, signal, building);
  if (!hasBegun) return outcomeOfAll([...kept, ...rows], refused);
  await end(deps, repository, revision, outcome, await building.begin());
  return { kind: 'done' };
}

/** Evaluates and builds what is left of a revision that is BUILDING. */
export async function finishRevision(deps: PipelineDeps, repository: Repository, revision: Revision, signal: AbortSignal): Promise<void> {
  const { done, ...flowing } = await leftOf(deps, revision);
  // Before the first build it is asked anyway.
  const why = flowing.left.length === 0 ? undefined : await unsignedUntilReleased(deps, revision);
  if (why !== undefined) return await refuse(deps, revision, why);
  const begin = once(async () => await clear(deps, revision, signal));
  const { outcome } = await flowHosts(deps, revision, flowing, signal, { handOut: handingOut(deps, repository), begin, done });
  // Also where no host changes: its checks must build.
  await end(deps, repository, revision, outcome, await begin());
}

/** Nothing of it is built any more: it is published, with what else was made of it. */
export async function publishRevision(
  deps: PipelineDeps,
  repository: Repository,
  revision: ClearedRevision,
  hosts: readonly PublishedHost[],
): Promise<void> {
  await releaseHosts(deps, repository, revision, hosts);
  const left = await deps.store.decide(async (decisions) => {
    const result = await decisions.hosts.forgetLeft(repository.id, revision.id);
    const detail = `never enrolled, and not in the flake any more: ${nameMany(result)}`;
    return { result, entries: result.length === 0 ? [] : [{ at: deps.clock.now(), actor: 'floe', action: 'forget', subject: revision.sha, detail }] };
  });
  if (left.length > 0) deps.logger.info('hosts that were never enrolled left the flake', { commit: revision.sha, count: left.length });
}

function handingOut(deps: PipelineDeps, repository: Repository): Building['handOut'] {
  return async (revision, hosts) => {
    await releaseHosts(deps, repository, revision, hosts, false);
    deps.logger.info('hosts have their release', { commit: revision.sha, count: hosts.length });
  };
}

async function end(deps: PipelineDeps, repository: Repository, revision: Revision, outcome: BuildOutcome, clearance: Clearance): Promise<void> {
  if (clearance.kind === 'refused') return await refuse(deps, revision, clearance.why);
  if (outcome.kind === 'built') return await publishRevision(deps, repository, clearance.revision, []);
  await recordEvent(deps, revision, 'build-failed', outcome.error);
}

async function refuse(deps: PipelineDeps, revision: Revision, why: string): Promise<void> {
  const rows = await deps.store.revisions.evaluations(revision.id);
  const late = rows.filter(({ retryAt }) => retryAt !== undefined);
  await refuseLate(deps, revision, late, why);
  await recordEvent(deps, revision, 'build-failed', why);
}
