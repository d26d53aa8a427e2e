import { diffFleet, retryDelayMs, type EvaluatedHost, type HostName } from '@floe/model';
import type { HostEvaluation } from '@floe/nix';
import { FloeError } from '@floe/runtime';
import type { EvaluationRow, Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import { explainOpaque, usersOfOpaqueFiles } from './opaque-files.ts';
import { unknownRing, unknownZone } from './policy.ts';
import { ReadyHosts } from '../ready-hosts.ts';
import { leftCache, releasedToplevels, type Released } from './released.ts';
import { saveEvaluations } from './save-evaluations.ts';
import { sourceOf } from './source.ts';
import { whoseHosts } from './whose-hosts.ts';

/** Rows are stored in batches of this size while other hosts are still evaluated, and sooner where something is to be built. */
const ROWS_AT_ONCE = 20;
const ROWS_WITHIN_MS = 2_000;

export interface EvaluateHosts {
  /** The revision has ended. */
  readonly isLate?: boolean;
  /** Called with what was stored, while others are evaluated. May be called again with the same, when it throws. */
  readonly onStored?: (rows: readonly EvaluationRow[]) => Promise<void>;
}

/**
 * Evaluates these hosts of the revision, and stores a row for each as it finishes, after it was judged whether it uses files that are not there: what
 * is stored may be built. Throws when it is stopped, and retryable errors when Nix itself fails; rows that were stored until then stay.
 */
export async function evaluateHosts(
  deps: PipelineDeps,
  revision: Revision,
  hosts: readonly HostName[],
  signal: AbortSignal,
  { isLate = false, onStored }: EvaluateHosts = {},
): Promise<readonly EvaluationRow[]> {
  const { store, mirror, repositoryNix, limits, clock, logger } = deps;
  const released = await leftCache(deps, hosts, await releasedToplevels(deps, revision));
  const { isEnrolled, wasNotOurs } = await whoseHosts(store, revision);
  const triesBefore = new Map((await store.revisions.evaluations(revision.id)).map(({ host, tries }) => [host, tries ?? 0]));
  // Where files are looked for, each host is evaluated twice: both together take as much as evaluating alone does.
  const isLookedAtTwice = (await mirror.inspect(revision.sha)).opaque.length > 0;
  const concurrency = isLookedAtTwice ? Math.ceil(limits.evaluations / 2) : limits.evaluations;
  const judging = { ...deps, limits: { ...limits, evaluations: Math.max(1, limits.evaluations - concurrency) } };
  const rows = new Map<HostName, EvaluationRow>();
  const found = new ReadyHosts<EvaluationRow>(async (some) => {
    const judged = await setAsideOpaque(judging, revision, some, signal);
    const stored = await saveEvaluations(store, revision.id, judged);
    for (const row of stored) rows.set(row.host, row);
    deps.ownEvaluations?.note(revision, stored);
    await onStored?.(stored);
  });
  let unsaved: EvaluationRow[] = [];
  let savedAt = clock.monotonic();
  function save(): void {
    found.add(...unsaved);
    unsaved = [];
    savedAt = clock.monotonic();
  }
  function toRow(result: HostEvaluation): EvaluationRow {
    const { host, warnings, kind } = result;
    const evaluateMs = Math.round(result.durationMs);
    const isNotOurs = kind === 'not-ours' || (kind === 'failed' && result.isSilent === true && wasNotOurs(host));
    if (isNotOurs) return { host, outcome: 'NOT_OURS', warnings, evaluateMs };
    if (kind === 'evaluated') {
      const { drvPath, toplevel, system, labels, ring, formerHost, timeZone } = result;
      const own = { host, warnings, labels, ring, formerHost, timeZone, evaluateMs };
      const problem = unknownRing(revision.policy, result) ?? unknownZone(revision.policy, result);
      if (problem !== undefined) return { ...own, outcome: 'EVAL_ERROR', error: problem };
      const outcome = outcomeOf(result, released);
      // Keeps `retryAt` until it is released: if this process is killed before, nothing else would retry a host of an ended
      // revision.
      const retryAt = isLate && outcome !== 'UNCHANGED' ? clock.now() + retryDelayMs(1) : undefined;
      return { ...own, outcome, drvPath, toplevel, system, retryAt };
    }
    logger.info('the evaluation of a host failed', { host, code: result.code });
    const tries = (triesBefore.get(host) ?? 0) + 1;
    const retryAt = result.isRetryable ? clock.now() + retryDelayMs(tries) : undefined;
    return { host, outcome: 'EVAL_ERROR', error: result.error, warnings, retryAt, tries, evaluateMs };
  }
  const [asked] = await Promise.allSettled([
    repositoryNix.evaluateHosts((await sourceOf(deps, revision)).address, hosts, {
      concurrency,
      timeoutMs: limits.evaluationTimeoutMs,
      maxMemoryBytes: limits.evaluationMemoryBytes,
      signal,
      isAsked: (host) => !isEnrolled(host),
      onResult(result) {
        if (result.imported !== undefined) deps.footprints?.note(result.host, { imported: result.imported });
        const row = toRow(result);
        unsaved.push(row);
        if (isToBeBuilt(row) || unsaved.length >= ROWS_AT_ONCE || clock.monotonic() - savedAt >= ROWS_WITHIN_MS) save();
      },
    }),
  ]);
  save();
  await found.end();
  await deps.footprints?.save();
  if (asked.status === 'rejected') throw asked.reason;
  if (signal.aborted) throw stopped();
  return [...rows.values()];
}

export function isToBeBuilt({ outcome }: Pick<EvaluationRow, 'outcome'>): boolean {
  return outcome === 'CHANGED' || outcome === 'NEW';
}

function stopped(): FloeError {
  return new FloeError('EVALUATION_STOPPED', 'the evaluation was stopped', { retryable: true });
}

/** The rows, where hosts that use a Git LFS pointer or an encrypted file get an error instead. */
export async function setAsideOpaque(
  deps: PipelineDeps,
  revision: Revision,
  rows: readonly EvaluationRow[],
  signal: AbortSignal,
): Promise<EvaluationRow[]> {
  const candidates = rows.flatMap(({ host, outcome, drvPath }) => (outcome === 'UNCHANGED' || drvPath === undefined ? [] : [{ host, drvPath }]));
  const isJudged = candidates.length === 0 || (await deps.mirror.inspect(revision.sha)).opaque.length === 0;
  const users = isJudged ? new Map<HostName, string>() : await usersOfOpaqueFiles(deps, revision, candidates, signal);
  if (signal.aborted && !isJudged) throw stopped();
  return await Promise.all(
    rows.map(async (row): Promise<EvaluationRow> => {
      const { host, warnings, evaluateMs } = row;
      const error = users.get(host);
      if (error !== undefined) return { host, outcome: 'EVAL_ERROR', error, warnings, evaluateMs };
      return row.error === undefined ? row : { ...row, error: await explainOpaque(deps, revision, row.error) };
    }),
  );
}

export function outcomeOf(host: EvaluatedHost, { released, gone }: Released): 'NEW' | 'CHANGED' | 'UNCHANGED' {
  if (gone.has(host.host)) return 'CHANGED';
  const { added, changed } = diffFleet([host], [], released);
  return added.length > 0 ? 'NEW' : changed.length > 0 ? 'CHANGED' : 'UNCHANGED';
}
