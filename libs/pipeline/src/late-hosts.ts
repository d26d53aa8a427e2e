import type { Evaluation, Repository, Revision } from '@floe/store';
import { buildHosts } from './build.ts';
import type { PipelineDeps } from './deps.ts';
import { evaluateHosts } from './evaluate-hosts.ts';
import { releaseHosts } from './release.ts';
import { whoseHosts } from './whose-hosts.ts';

/**
 * Retries the hosts of an ended revision that failed with a temporary error, e.g. an unreachable source, and evaluates those that were not
 * Floe's, and are enrolled now. Each host that succeeds
 * is released with the sequence of that revision. Only for the newest revision: a newer one evaluates the host itself.
 */
export async function tryLateHosts(deps: PipelineDeps, repository: Repository, revision: Revision, signal: AbortSignal): Promise<void> {
  const { store, clock, logger } = deps;
  const isDue = ({ retryAt }: { readonly retryAt?: number | undefined }): boolean => retryAt !== undefined && retryAt <= clock.now();
  const { isEnrolled } = await whoseHosts(store, revision);
  const isNew = ({ host, outcome }: Evaluation): boolean => outcome === 'NOT_OURS' && isEnrolled(host);
  const due = (await store.revisions.evaluations(revision.id)).filter((row) => isDue(row) || isNew(row));
  logger.info('hosts with a temporary error, or that were enrolled since, are evaluated or built', { commit: revision.sha, count: due.length });
  const unevaluated = due.filter(({ outcome }) => outcome === 'EVAL_ERROR' || outcome === 'NOT_OURS').map(({ host }) => host);
  if (unevaluated.length > 0) await evaluateHosts(deps, revision, unevaluated, signal, { isLate: true });
  const tried = new Set(due.map(({ host }) => host));
  const wanted = (await store.revisions.evaluations(revision.id)).filter(
    ({ host, outcome }) => tried.has(host) && (outcome === 'CHANGED' || outcome === 'NEW' || outcome === 'BUILD_ERROR'),
  );
  if (wanted.length === 0) return;
  await buildHosts(deps, revision, wanted, signal, async (hosts) => await releaseHosts(deps, repository, revision, hosts));
}
