import { FloeError } from '@floe/runtime';
import type { Repository, Revision } from '@floe/store';
import type { Building, BuildOutcome, PublishedHost } from './build.ts';
import { failedCheck } from './checks.ts';
import type { PipelineDeps } from './deps.ts';
import { evaluateHosts, isToBeBuilt } from './evaluate-hosts.ts';
import { outcomeOfAll, prepareRevision, type EvaluateOutcome, type PrepareOutcome } from './evaluate.ts';
import { flowHosts, leftOf } from './flow.ts';
import { recordEvent } from './record-event.ts';
import { releaseHosts } from './release.ts';
import { unsignedOf } from './signers/refusal.ts';

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
  const begin = async (): Promise<string | undefined> => {
    if (!(await recordEvent(deps, revision, 'evaluated')))
      throw new FloeError('REVISION_MOVED', 'the revision is in another state', { retryable: true });
    hasBegun = true;
    return await refusalToBuild(deps, revision, signal);
  };
  const building = { ...handingOut(deps, repository, revision), begin: once(begin) };
  const { rows, outcome } = await flowHosts(deps, revision, { evaluated: kept.filter(isToBeBuilt), left }, signal, building);
  if (!hasBegun) return outcomeOfAll([...kept, ...rows], refused);
  await end(deps, repository, revision, outcome);
  return { kind: 'done' };
}

/** Evaluates and builds what is left of a revision that is BUILDING. */
export async function finishRevision(deps: PipelineDeps, repository: Repository, revision: Revision, signal: AbortSignal): Promise<void> {
  const { done, ...flowing } = await leftOf(deps, revision);
  const unsigned = done === 0 ? await unsignedOf(deps, revision) : undefined;
  if (unsigned !== undefined) return await end(deps, repository, revision, { kind: 'refused', error: unsigned });
  const begin = once(async () => await refusalToBuild(deps, revision, signal));
  const { outcome } = await flowHosts(deps, revision, flowing, signal, { ...handingOut(deps, repository, revision), begin, done });
  // Also where no host changes: its checks must build.
  const refusal = await begin();
  await end(deps, repository, revision, refusal === undefined ? outcome : { kind: 'refused', error: refusal });
}

/** Nothing of it is built any more: it is published, with what else was made of it. */
export async function publishRevision(
  deps: PipelineDeps,
  repository: Repository,
  revision: Revision,
  hosts: readonly PublishedHost[],
): Promise<void> {
  await releaseHosts(deps, repository, revision, hosts);
  const left = await deps.store.hosts.forgetLeft(repository.id, revision.id);
  if (left.length > 0) deps.logger.info('hosts that were never enrolled left the flake', { commit: revision.sha, count: left.length });
}

function handingOut(deps: PipelineDeps, repository: Repository, revision: Revision): Pick<Building, 'handOut'> {
  return {
    handOut: async (hosts) => {
      await releaseHosts(deps, repository, revision, hosts, false);
      deps.logger.info('hosts have their release', { commit: revision.sha, count: hosts.length });
    },
  };
}

/** Why nothing of it may be built: nobody allowed signed it, until a host has a release, or a check of its policy does not build. */
async function refusalToBuild(deps: PipelineDeps, revision: Revision, signal: AbortSignal): Promise<string | undefined> {
  const hasReleases = (await deps.store.releases.hostsOf(revision.id)).size > 0;
  return (hasReleases ? undefined : await unsignedOf(deps, revision)) ?? (await failedCheck(deps, revision, signal));
}

async function end(deps: PipelineDeps, repository: Repository, revision: Revision, outcome: BuildOutcome): Promise<void> {
  if (outcome.kind === 'built') return await publishRevision(deps, repository, revision, []);
  if (outcome.kind === 'refused') {
    // Else a host that is tried again would be released, without the check.
    const late = (await deps.store.revisions.evaluations(revision.id)).filter(({ retryAt }) => retryAt !== undefined);
    await deps.store.revisions.saveEvaluations(
      revision.id,
      late.map((row) => ({ ...row, retryAt: undefined })),
    );
  }
  await recordEvent(deps, revision, 'build-failed', outcome.error);
}

/** The answer of the first call, for all. */
function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined;
  return async () => await (asked ??= ask());
}
