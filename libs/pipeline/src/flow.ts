import type { HostName } from '@floe/model';
import type { Evaluation, EvaluationRow, Revision } from '@floe/store';
import { BuildQueue } from './building/build-queue.ts';
import { buildQueued, type Building, type BuildOutcome } from './building/build.ts';
import type { PipelineDeps } from './deps.ts';
import { evaluateHosts, isToBeBuilt } from './evaluation/evaluate-hosts.ts';
import { firstThingsFirst } from './evaluation/first-things-first.ts';

export interface Flowing {
  /** Those that are evaluated, and have no release yet. */
  readonly evaluated: readonly EvaluationRow[];
  /** Those that are still to be evaluated, first things first. */
  readonly left: readonly HostName[];
}

export interface Flowed {
  /** Of those that were left. */
  readonly rows: readonly EvaluationRow[];
  readonly outcome: BuildOutcome;
}

/** What of a revision that is built is still to be done. */
export async function leftOf(deps: PipelineDeps, revision: Revision): Promise<Flowing & { readonly done: number }> {
  const rows = await deps.store.revisions.evaluations(revision.id);
  const released = await deps.store.releases.hostsOf(revision.id);
  const isUnbuilt = (row: Evaluation): boolean => isToBeBuilt(row) && !released.has(row.host);
  const unknown = rows.flatMap(({ host, outcome }) => (outcome === 'NOT_EVALUATED' ? [host] : []));
  return { evaluated: rows.filter(isUnbuilt), left: await firstThingsFirst(deps, revision, unknown), done: released.size };
}

/**
 * Each host flows by itself: it is evaluated, built, published and released, however long the others take for any of that. What is evaluated and
 * built runs side by side, each within its own limit. Throws what the step is repeated for; what was stored until then stays.
 */
export async function flowHosts(
  deps: PipelineDeps,
  revision: Revision,
  { evaluated, left }: Flowing,
  signal: AbortSignal,
  building: Building,
): Promise<Flowed> {
  const { store, clock } = deps;
  const queue = new BuildQueue(deps, revision, signal);
  async function evaluate(): Promise<readonly EvaluationRow[]> {
    try {
      await queue.add(evaluated.filter(isToBeBuilt));
      if (left.length === 0) return [];
      const rows = await evaluateHosts(deps, revision, left, signal, { onStored: async (some) => await queue.add(some.filter(isToBeBuilt)) });
      await store.revisions.noteEvaluated(revision.id, clock.now());
      return rows;
    } finally {
      queue.close();
    }
  }
  const [rows, outcome] = await Promise.allSettled([evaluate(), buildQueued(deps, revision, queue, signal, building)]);
  if (rows.status === 'rejected') throw rows.reason;
  if (outcome.status === 'rejected') throw outcome.reason;
  return { rows: rows.value, outcome: outcome.value };
}
