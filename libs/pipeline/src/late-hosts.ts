import type { Repository, Revision } from '@floe/store';
import { buildHosts } from './build.ts';
import type { PipelineDeps } from './deps.ts';
import { evaluateHosts } from './evaluate.ts';
import { releaseRevision } from './release.ts';

/**
 * Tries again what failed on hosts of an ended revision by a trouble that may pass: a source that is away. Each that
 * works is released with the revision's sequence, late. Only of the newest revision: whatever is newer has its own word on the
 * host.
 */
export async function tryLateHosts(deps: PipelineDeps, repository: Repository, revision: Revision, signal: AbortSignal): Promise<void> {
  const { store, clock, logger } = deps;
  const isDue = ({ retryAt }: { readonly retryAt?: number | undefined }): boolean => retryAt !== undefined && retryAt <= clock.now();
  const due = (await store.revisions.evaluations(revision.id)).filter(isDue);
  logger.info('hosts whose trouble may have passed are tried again', { commit: revision.sha, count: due.length });
  const unevaluated = due.filter(({ outcome }) => outcome === 'EVAL_ERROR').map(({ host }) => host);
  if (unevaluated.length > 0) await evaluateHosts(deps, revision, unevaluated, signal, true);
  const tried = new Set(due.map(({ host }) => host));
  const wanted = (await store.revisions.evaluations(revision.id)).filter(
    ({ host, outcome }) => tried.has(host) && (outcome === 'CHANGED' || outcome === 'NEW' || outcome === 'BUILD_ERROR'),
  );
  if (wanted.length === 0) return;
  const outcome = await buildHosts(deps, revision, wanted, signal);
  if (outcome.kind !== 'published' || outcome.hosts.length === 0) return;
  await releaseRevision(deps, repository, revision, outcome.hosts);
  // Last: until here the row says that it is to be tried again, so that a crash loses nothing.
  await store.revisions.saveBuilds(
    revision.id,
    outcome.hosts.map(({ host }) => ({ host, outcome: 'CHANGED' })),
  );
}
