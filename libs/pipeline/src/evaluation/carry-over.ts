import type { HostName } from '@floe/model';
import type { Evaluation, EvaluationRow, Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import { carryPolicy, type TakenPolicy } from './policy.ts';
import { saveEvaluations } from './save-evaluations.ts';
import { isSameSource, sourceOf } from './source.ts';
import { whoseHosts } from './whose-hosts.ts';

export type CarriedOver =
  /** Hosts are left that have to be evaluated: all of them, or those of which the newest published revision has no result. */
  | { readonly kind: 'to-evaluate' }
  /** Nothing is left to do. */
  | { readonly kind: 'evaluated' }
  | Extract<TakenPolicy, { kind: 'refused' }>;

/** How the system of a row compares with the host's last release. */
export type OutcomeOf = (row: EvaluationRow) => EvaluationRow['outcome'];

/**
 * Takes over what the newest published revision evaluated to, when both are the same files by the same settings (`evaluate.source`), apart from
 * ignored ones. What is evaluated of a tree depends on nothing else, so evaluating would yield the same; of a commit it may contain its id, and the
 * settings say that this alone is no reason to change a machine. Errors are not taken over: they may have been about this machine.
 * A revision that was evaluated once is not looked at again: an administrator may have asked to evaluate it.
 */
export async function carryOver(
  deps: PipelineDeps,
  revision: Revision,
  outcomesOf: (hosts: readonly HostName[]) => Promise<OutcomeOf>,
): Promise<CarriedOver> {
  const { store, logger } = deps;
  const wasLookedAt = revision.sourceKey !== undefined;
  const previous = await store.revisions.newestPublished(revision.repositoryId);
  const { key } = await sourceOf(deps, revision);
  if (wasLookedAt || previous === undefined || previous.handoverId !== undefined) return { kind: 'to-evaluate' };
  if (!(await isSameSource(deps, previous, { sha: revision.sha, key }))) return { kind: 'to-evaluate' };

  const rows = await store.revisions.evaluations(previous.id);
  const { isEnrolled } = await whoseHosts(store, revision);
  const outcome = await outcomesOf(rows.filter(isSystem).map(({ host }) => host));
  const carried = rows.flatMap((row) => carriedRow(row, isEnrolled(row.host), outcome));
  await store.revisions.noteSameSource(revision.id, previous.sha);
  await saveEvaluations(store, revision.id, carried);
  // Of a host that nobody enrolled, the first revision without it says so.
  const left = rows.length - carried.length - rows.filter(({ host, outcome: was }) => was === 'REMOVED' && !isEnrolled(host)).length;
  logger.info('what an earlier commit evaluated to was taken over', { commit: revision.sha, from: previous.sha, hosts: carried.length, left });
  if (left > 0 || carried.length === 0) return { kind: 'to-evaluate' };
  const taken = await carryPolicy(deps, revision, previous);
  return taken.kind === 'refused' ? taken : { kind: 'evaluated' };
}

function isSystem({ drvPath, toplevel, system }: EvaluationRow): boolean {
  return drvPath !== undefined && toplevel !== undefined && system !== undefined;
}

function carriedRow(row: Evaluation, isEnrolled: boolean, outcomeOf: OutcomeOf): EvaluationRow[] {
  const { host, drvPath, toplevel, system, warnings, labels, ring, formerHost, timeZone } = row;
  if (row.outcome === 'NOT_OURS') return isEnrolled ? [] : [{ host, outcome: 'NOT_OURS', warnings }];
  if (row.outcome === 'REMOVED') return isEnrolled ? [{ host, outcome: 'REMOVED' }] : [];
  // One whose ring, say, does not exist has a system, too.
  if (row.outcome === 'EVAL_ERROR' || !isSystem(row)) return [];
  return [{ host, outcome: outcomeOf(row), drvPath, toplevel, system, warnings, labels, ring, formerHost, timeZone }];
}
