import type { Evaluation, Repository, Revision } from '@floe/store';
import { buildHosts } from './building/build.ts';
import { clear } from './clearance.ts';
import type { PipelineDeps } from './deps.ts';
import { evaluateHosts } from './evaluation/evaluate-hosts.ts';
import { releaseHosts } from './release.ts';
import { whoseHosts } from './evaluation/whose-hosts.ts';

/**
 * Retries the hosts of an ended revision that failed with a temporary error, e.g. an unreachable source, and, once it is published, evaluates those
 * that were not Floe's, and are enrolled now. Each host that succeeds is released with the sequence of that revision, which is asked the same as
 * before its first release. Only for the newest revision: a newer one evaluates the host itself.
 */
export async function tryLateHosts(deps: PipelineDeps, repository: Repository, revision: Revision, signal: AbortSignal): Promise<void> {
  const { store, clock, logger } = deps;
  const isDue = ({ retryAt }: { readonly retryAt?: number | undefined }): boolean => retryAt !== undefined && retryAt <= clock.now();
  const { isEnrolled } = await whoseHosts(store, revision);
  const isNew = ({ host, outcome }: Evaluation): boolean => revision.state === 'PUBLISHED' && outcome === 'NOT_OURS' && isEnrolled(host);
  const due = (await store.revisions.evaluations(revision.id)).filter((row) => isDue(row) || isNew(row));
  const clearance = await clear(deps, revision, signal);
  if (clearance.kind === 'refused') return await refuseLate(deps, revision, due, clearance.why);
  logger.info('hosts with a temporary error, or that were enrolled since, are evaluated or built', { commit: revision.sha, count: due.length });
  const unevaluated = due.filter(({ outcome }) => outcome === 'EVAL_ERROR' || outcome === 'NOT_OURS').map(({ host }) => host);
  if (unevaluated.length > 0) await evaluateHosts(deps, revision, unevaluated, signal, { isLate: true });
  const tried = new Set(due.map(({ host }) => host));
  const wanted = (await store.revisions.evaluations(revision.id)).filter(
    ({ host, outcome }) => tried.has(host) && (outcome === 'CHANGED' || outcome === 'NEW' || outcome === 'BUILD_ERROR'),
  );
  if (wanted.length === 0) return;
  await buildHosts(deps, revision, wanted, signal, {
    begin: async () => await Promise.resolve(clearance),
    handOut: async (cleared, hosts) => await releaseHosts(deps, repository, cleared, hosts),
  });
}

/** Of a revision that may not be released none of these hosts is tried again. One that would be evaluated for the first time says why not. */
export async function refuseLate({ store }: PipelineDeps, { id }: Revision, rows: readonly Evaluation[], why: string): Promise<void> {
  const late = rows.filter(({ retryAt }) => retryAt !== undefined);
  const unknown = rows.filter(({ outcome, retryAt }) => outcome === 'NOT_OURS' && retryAt === undefined);
  await store.revisions.saveEvaluations(id, [
    ...late.map((row) => ({ ...row, retryAt: undefined })),
    ...unknown.map(({ host }) => ({ host, outcome: 'EVAL_ERROR' as const, error: why })),
  ]);
}
