import { diffFleet, isSuspiciousShrink, type EvaluatedHost, type HostName, type StorePath } from '@floe/model';
import { describeError, FloeError, isFloeError } from '@floe/runtime';
import type { EvaluationRow, Revision } from '@floe/store';
import { bestEffort } from './best-effort.ts';
import type { PipelineDeps } from './deps.ts';

export type EvaluateOutcome =
  | { readonly kind: 'evaluated' }
  /** Nothing of the revision can be used; says why. */
  | { readonly kind: 'failed'; readonly error: string }
  /** Far fewer hosts than before: waits for an administrator. */
  | { readonly kind: 'held'; readonly reason: string };

const MAX_NAME_LENGTH = 64;

/**
 * Evaluates every host of the revision, each in a process of its own, and stores what it means for each against the
 * host's last release. A host that fails is a row with its error; the others go on.
 */
export async function evaluateRevision(deps: PipelineDeps, revision: Revision, signal: AbortSignal): Promise<EvaluateOutcome> {
  const { store, mirror, repositoryNix, limits, logger } = deps;
  const flakeUrl = mirror.flakeUrl(revision.sha);
  const released = await releasedToplevels(deps, revision);

  let hosts: readonly HostName[];
  let invalid: readonly string[];
  try {
    const list = await repositoryNix.listHosts(flakeUrl, {
      timeoutMs: limits.evaluationTimeoutMs,
      maxMemoryBytes: limits.evaluationMemoryBytes,
      signal,
    });
    hosts = list.hosts;
    invalid = list.invalid;
  } catch (error) {
    const isOurs = isFloeError(error) && !error.retryable && !signal.aborted;
    if (!isOurs) throw error;
    return { kind: 'failed', error: describeError(error) };
  }
  const isAllowed = (await store.repositories.get(revision.repositoryId)).allowedCommit === revision.sha;
  const before = await hostsBefore(deps, revision, released.size);
  if (isSuspiciousShrink(before, hosts.length) && !isAllowed) {
    const reason = `only ${hosts.length} of ${before} hosts are left in the flake`;
    return { kind: 'held', reason };
  }
  await store.hosts.ensure(revision.repositoryId, hosts);

  const ordered = await bestEffort(logger, 'the order of the hosts', hosts, async () => await probablyTouchedFirst(deps, revision, hosts, released));
  const evaluated: (EvaluatedHost & { system: string; evaluateMs: number })[] = [];
  const failed: { host: HostName; error: string; evaluateMs: number }[] = [];
  await repositoryNix.evaluateHosts(flakeUrl, ordered, {
    concurrency: limits.evaluations,
    timeoutMs: limits.evaluationTimeoutMs,
    maxMemoryBytes: limits.evaluationMemoryBytes,
    signal,
    onResult(result) {
      if (result.kind === 'evaluated') {
        evaluated.push({
          host: result.host,
          drvPath: result.drvPath,
          toplevel: result.toplevel,
          system: result.system,
          evaluateMs: result.durationMs,
        });
      } else {
        logger.info('a host does not evaluate', { host: result.host, code: result.code });
        failed.push({ host: result.host, error: result.error, evaluateMs: result.durationMs });
      }
    },
  });
  if (signal.aborted) throw new FloeError('EVALUATION_STOPPED', 'the evaluation was stopped', { retryable: true });

  const diff = diffFleet(
    evaluated,
    failed.map((each) => each.host),
    released,
  );
  const changed = new Set(diff.changed);
  const added = new Set(diff.added);
  const unusable = [...new Set(invalid.map((name) => name.slice(0, MAX_NAME_LENGTH)))].map(unusableName);
  const rows: EvaluationRow[] = [
    ...evaluated.map((each) => ({
      host: each.host,
      outcome: added.has(each.host) ? ('NEW' as const) : changed.has(each.host) ? ('CHANGED' as const) : ('UNCHANGED' as const),
      drvPath: each.drvPath,
      toplevel: each.toplevel,
      system: each.system,
      evaluateMs: Math.round(each.evaluateMs),
    })),
    ...failed.map((each) => ({ host: each.host, outcome: 'EVAL_ERROR' as const, error: each.error, evaluateMs: Math.round(each.evaluateMs) })),
    ...diff.removed.map((host) => ({ host, outcome: 'REMOVED' as const })),
    ...unusable,
  ];
  await store.revisions.saveEvaluations(revision.id, rows);
  if (evaluated.length === 0) {
    const errors = rows.filter(({ outcome }) => outcome === 'EVAL_ERROR');
    return { kind: 'failed', error: `none of the ${errors.length} hosts evaluates; the first error, of ${errors[0]?.host}: ${errors[0]?.error}` };
  }
  return { kind: 'evaluated' };
}

/**
 * The toplevel of each host's last release. Not of a host that accepted a later one, of a database that is gone: it
 * refuses this one, and needs a new release even where nothing changed.
 */
async function releasedToplevels({ store }: PipelineDeps, { repositoryId }: Revision): Promise<ReadonlyMap<HostName, StorePath>> {
  const accepted = new Map((await store.hosts.list(repositoryId)).map((row) => [row.host, row.acceptedSequence]));
  const releases = await store.releases.latest(repositoryId);
  return new Map(releases.flatMap(({ host, sequence, toplevel }) => (sequence < (accepted.get(host) ?? 0) ? [] : [[host, toplevel]])));
}

/** A name that no host can have is told as an error of its own; nothing else is done with it. */
function unusableName(name: string): EvaluationRow {
  const error = `no machine can have this name: a host name is 1 to 63 letters, digits, - or _, and begins and ends with a letter or digit`;
  return { host: name as HostName, outcome: 'EVAL_ERROR', error };
}

/** How many hosts the last published revision had; a database that was rebuilt knows of releases only. */
async function hostsBefore(deps: PipelineDeps, revision: Revision, released: number): Promise<number> {
  const previous = await deps.store.revisions.newestPublished(revision.repositoryId);
  if (previous === undefined) return released;
  return (await deps.store.revisions.evaluations(previous.id)).filter(({ outcome }) => outcome !== 'REMOVED').length;
}

/** Hosts whose own files changed come first, so that a large fleet's small change is on its way early. Order only. */
async function probablyTouchedFirst(
  deps: PipelineDeps,
  revision: Revision,
  hosts: readonly HostName[],
  released: ReadonlyMap<HostName, string>,
): Promise<readonly HostName[]> {
  const previous = await deps.store.revisions.newestPublished(revision.repositoryId);
  if (previous === undefined || hosts.length <= deps.limits.evaluations) return hosts;
  const changes = await deps.mirror.changedPaths(previous.sha, revision.sha);
  if (changes === 'unknown') return hosts;
  const isTouched = (host: HostName): boolean => !released.has(host) || changes.some(({ path }) => path.split(/[/.]/).includes(host));
  const touched = new Set(hosts.filter(isTouched));
  return [...touched, ...hosts.filter((host) => !touched.has(host))];
}
