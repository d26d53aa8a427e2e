import {
  DEFAULT_POLICY,
  diffFleet,
  HOST_NAME_RULE,
  isCommit,
  isSuspiciousShrink,
  retryDelayMs,
  storableText,
  type EvaluatedHost,
  type HostName,
  type StorePath,
} from '@floe/model';
import type { HostEvaluation } from '@floe/nix';
import { describeError, FloeError, isFloeError } from '@floe/runtime';
import { sequenceFloor, type EvaluationRow, type Revision } from '@floe/store';
import { bestEffort } from './best-effort.ts';
import { carryOver } from './carry-over.ts';
import type { PipelineDeps } from './deps.ts';
import { explainOpaque, usersOfOpaqueFiles } from './opaque-files.ts';
import { warnOfFlakeSettings } from './flake-settings.ts';
import { takePolicy, unknownRing, unknownZone } from './policy.ts';
import { saveEvaluations } from './save-evaluations.ts';
import { addressOf, sourceOf } from './source.ts';
import { whoseHosts } from './whose-hosts.ts';

export type EvaluateOutcome =
  | { readonly kind: 'evaluated' }
  /** Its policy cannot be used. */
  | { readonly kind: 'refused'; readonly error: string }
  /** No host of the revision can be used. */
  | { readonly kind: 'failed'; readonly error: string }
  /** It has far fewer hosts than before, and waits for an administrator. */
  | { readonly kind: 'held'; readonly reason: string };

const MAX_NAME_LENGTH = 64;
/** Names of hosts in the reason of a held commit: more are counted. */
const MAX_GONE_NAMED = 20;
/** Rows are written in batches of this size while other hosts are still evaluated. */
const ROWS_AT_ONCE = 20;

/**
 * Evaluates each host of the revision in its own process, and stores the result compared with the host's last release. A host
 * that fails gets a row with its error, and the others continue. Results of an interrupted evaluation of the same revision are
 * kept.
 */
export async function evaluateRevision(deps: PipelineDeps, received: Revision, signal: AbortSignal): Promise<EvaluateOutcome> {
  const { store, repositoryNix, limits, logger } = deps;
  const released = await releasedToplevels(deps, received);
  const carried = await carryOver(deps, received, async (hosts) => {
    const left = await leftCache(deps, hosts, released);
    return ({ host, drvPath = '', toplevel }) => (toplevel === undefined ? 'CHANGED' : outcomeOf({ host, drvPath, toplevel }, left));
  });
  if (carried.kind !== 'to-evaluate') return carried;

  let list: Awaited<ReturnType<typeof repositoryNix.listHosts>>;
  try {
    list = await repositoryNix.listHosts(await addressOf(deps, received.sha), {
      timeoutMs: limits.evaluationTimeoutMs,
      maxMemoryBytes: limits.evaluationMemoryBytes,
      signal,
    });
  } catch (error) {
    const isOurs = isFloeError(error) && !error.retryable && !signal.aborted;
    if (!isOurs) throw error;
    return { kind: 'failed', error: await explainOpaque(deps, received, describeError(error)) };
  }
  const { hosts, clashing } = list;
  const refused = [...unusableNames(list.invalid), ...clashing.map(clashingName)];
  const taken = await takePolicy(deps, received, list.hasPolicy, signal);
  if (taken.kind === 'refused') return taken;
  await warnOfFlakeSettings(deps, received, signal);
  const revision = { ...received, policy: taken.policy };
  const isAllowed = (await store.repositories.get(revision.repositoryId)).allowedCommit === revision.sha;
  const before = await hostsBefore(deps, revision, released.size);
  // The list would loosen its own limit: it is the one in force that counts, and its own where that is stricter.
  const inForce = (await store.rollouts.lastComplete(revision.id))?.policy ?? DEFAULT_POLICY;
  const shrinkLimits = [inForce.shrink, revision.policy.shrink];
  if (shrinkLimits.some((limit) => isSuspiciousShrink(before, hosts.length, limit)) && !isAllowed) {
    const gone = diffFleet([], [...hosts, ...clashing], await lookedAfter(deps, revision, released)).removed.toSorted();
    const more = gone.length > MAX_GONE_NAMED ? ` and ${gone.length - MAX_GONE_NAMED} more` : '';
    const named = gone.length === 0 ? '' : `; these would go: ${gone.slice(0, MAX_GONE_NAMED).join(', ')}${more}`;
    return { kind: 'held', reason: `only ${hosts.length} of ${before} hosts are left in the flake${named}` };
  }
  await store.hosts.ensure(revision.repositoryId, hosts);

  const { isEnrolled } = await whoseHosts(store, revision);
  const kept = await keptRows(deps, revision, hosts, await leftCache(deps, hosts, released), isEnrolled);
  const done = new Set(kept.map(({ host }) => host));
  const left = hosts.filter((host) => !done.has(host));
  const ordered = await bestEffort(logger, 'ordering the hosts', left, async () => await probablyTouchedFirst(deps, revision, left, released));
  const evaluated = await setAsideOpaque(deps, revision, [...kept, ...(await evaluateHosts(deps, revision, ordered, signal))], signal);

  const removed = diffFleet([], [...hosts, ...clashing], await lookedAfter(deps, revision, released)).removed;
  const rows = await saveEvaluations(store, revision.id, evaluated);
  await saveEvaluations(store, revision.id, [...removed.map((host) => ({ host, outcome: 'REMOVED' as const })), ...refused]);
  const ours = rows.filter(({ outcome }) => outcome !== 'NOT_OURS');
  if (ours.some(({ outcome }) => outcome !== 'EVAL_ERROR')) return { kind: 'evaluated' };
  // A fleet in which no machine has the agent yet.
  if (ours.length === 0 && refused.length === 0 && rows.length > 0) return { kind: 'evaluated' };
  const waiting = ours.find(({ retryAt }) => retryAt !== undefined);
  if (waiting !== undefined) throw new FloeError('HOSTS_WAIT', `${waiting.host}: ${waiting.error}`, { retryable: true });
  const errors = [...ours, ...refused];
  return { kind: 'failed', error: `none of the ${errors.length} hosts evaluates; the first error, of ${errors[0]?.host}: ${errors[0]?.error}` };
}

/**
 * Evaluates these hosts of the revision and stores a row for each as it finishes. Throws when it is stopped, and retryable errors
 * when Nix itself fails; rows that were stored until then stay. `isLate`: the revision has ended.
 */
export async function evaluateHosts(
  deps: PipelineDeps,
  revision: Revision,
  hosts: readonly HostName[],
  signal: AbortSignal,
  isLate = false,
): Promise<readonly EvaluationRow[]> {
  const { store, repositoryNix, limits, clock, logger } = deps;
  const released = await leftCache(deps, hosts, await releasedToplevels(deps, revision));
  const { isEnrolled, wasNotOurs } = await whoseHosts(store, revision);
  const triesBefore = new Map((await store.revisions.evaluations(revision.id)).map(({ host, tries }) => [host, tries ?? 0]));
  const rows: EvaluationRow[] = [];
  let unsaved: EvaluationRow[] = [];
  let saving: Promise<unknown> = Promise.resolve();
  async function save(): Promise<void> {
    const batch = unsaved;
    unsaved = [];
    try {
      if (batch.length > 0) rows.push(...(await saveEvaluations(store, revision.id, batch)));
    } catch (error) {
      unsaved.unshift(...batch);
      throw error;
    }
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
  try {
    await repositoryNix.evaluateHosts((await sourceOf(deps, revision)).address, hosts, {
      concurrency: limits.evaluations,
      timeoutMs: limits.evaluationTimeoutMs,
      maxMemoryBytes: limits.evaluationMemoryBytes,
      signal,
      isAsked: (host) => !isEnrolled(host),
      onResult(result) {
        unsaved.push(toRow(result));
        // The rejection is handled below, where the promise is awaited.
        if (unsaved.length >= ROWS_AT_ONCE) saving = Promise.all([saving, save()]).catch(() => undefined);
      },
    });
  } finally {
    await saving;
    await save();
  }
  if (signal.aborted) throw new FloeError('EVALUATION_STOPPED', 'the evaluation was stopped', { retryable: true });
  if (!isLate) return rows;
  const judged = await setAsideOpaque(deps, revision, rows, signal);
  return await saveEvaluations(store, revision.id, judged);
}

/** The rows, where hosts that use a Git LFS pointer or an encrypted file get an error instead. */
async function setAsideOpaque(deps: PipelineDeps, revision: Revision, rows: readonly EvaluationRow[], signal: AbortSignal): Promise<EvaluationRow[]> {
  const candidates = rows.flatMap(({ host, outcome, drvPath }) => (outcome === 'UNCHANGED' || drvPath === undefined ? [] : [{ host, drvPath }]));
  const users = await usersOfOpaqueFiles(deps, revision, candidates, signal);
  if (signal.aborted) throw new FloeError('EVALUATION_STOPPED', 'the evaluation was stopped', { retryable: true });
  return await Promise.all(
    rows.map(async (row): Promise<EvaluationRow> => {
      const { host, warnings, evaluateMs } = row;
      const error = users.get(host);
      if (error !== undefined) return { host, outcome: 'EVAL_ERROR', error, warnings, evaluateMs };
      return row.error === undefined ? row : { ...row, error: await explainOpaque(deps, revision, row.error) };
    }),
  );
}

function outcomeOf(host: EvaluatedHost, { released, gone }: Released): 'NEW' | 'CHANGED' | 'UNCHANGED' {
  if (gone.has(host.host)) return 'CHANGED';
  const { added, changed } = diffFleet([host], [], released);
  return added.length > 0 ? 'NEW' : changed.length > 0 ? 'CHANGED' : 'UNCHANGED';
}

/**
 * Rows of this revision from before an interruption. The hosts of a commit never change, so they stay valid; rows with a
 * temporary error are evaluated again.
 */
async function keptRows(
  { store }: PipelineDeps,
  revision: Revision,
  hosts: readonly HostName[],
  released: Released,
  isEnrolled: (host: HostName) => boolean,
): Promise<readonly EvaluationRow[]> {
  const listed = new Set(hosts);
  return (await store.revisions.evaluations(revision.id)).flatMap((row): EvaluationRow[] => {
    const { host, drvPath, toplevel, system, error, warnings, labels, ring, formerHost, timeZone, tries, evaluateMs } = row;
    if (!listed.has(host)) return [];
    if (row.outcome === 'NOT_OURS') return isEnrolled(host) ? [] : [{ host, outcome: 'NOT_OURS', warnings, evaluateMs }];
    const known = { host, warnings, labels, ring, formerHost, timeZone, tries, evaluateMs };
    if (drvPath !== undefined && toplevel !== undefined && system !== undefined) {
      return [{ ...known, outcome: outcomeOf({ host, drvPath, toplevel }, released), drvPath, toplevel, system }];
    }
    return row.outcome === 'EVAL_ERROR' && row.retryAt === undefined ? [{ ...known, outcome: 'EVAL_ERROR', error }] : [];
  });
}

interface Released {
  readonly released: ReadonlyMap<HostName, StorePath>;
  /** The hosts whose last release is not in the cache any more: it is published again, and released, though nothing changed. */
  readonly gone: ReadonlySet<HostName>;
}

/** What these hosts have stays in the cache from now on, until it is written down. */
async function leftCache(
  { cache, logger }: Pick<PipelineDeps, 'cache' | 'logger'>,
  hosts: readonly HostName[],
  released: ReadonlyMap<HostName, StorePath>,
): Promise<Released> {
  const gone = new Set<HostName>();
  for (const host of hosts) {
    const toplevel = released.get(host);
    if (toplevel !== undefined && (await cache.folder?.keep(toplevel)) === false) gone.add(host);
  }
  if (gone.size > 0) logger.warn('the last releases of hosts are not in the cache any more; they are published again', { hosts: gone.size });
  return { released, gone };
}

/**
 * The toplevel of each host's last release of the fleet. Without hosts that accepted, or were told, a later one (of a database that was lost, or a store
 * path that was submitted): they refuse this one, and need a new release even when nothing changed.
 */
export async function releasedToplevels(
  { store }: Pick<PipelineDeps, 'store'>,
  { repositoryId }: Pick<Revision, 'repositoryId'>,
): Promise<ReadonlyMap<HostName, StorePath>> {
  const floors = new Map((await store.hosts.list(repositoryId)).map((row) => [row.host, sequenceFloor(row)]));
  const releases = await store.releases.latest(repositoryId);
  return new Map(releases.flatMap(({ host, sequence, toplevel }) => (sequence < (floors.get(host) ?? 0) ? [] : [[host, toplevel]])));
}

/**
 * The released hosts whose removal this revision reports. An enrolled host is reported by every revision while it is missing,
 * because its machine gets no more releases. Any other host is reported once, by the first revision without it.
 */
async function lookedAfter(
  { store }: PipelineDeps,
  { repositoryId }: Revision,
  released: ReadonlyMap<HostName, StorePath>,
): Promise<ReadonlyMap<HostName, StorePath>> {
  const rows = new Map((await store.hosts.list(repositoryId)).map((row) => [row.host, row]));
  const previous = await store.revisions.newestPublished(repositoryId);
  const before = previous === undefined ? undefined : await store.revisions.evaluations(previous.id);
  const wasThere = new Set(before?.filter(({ outcome }) => outcome !== 'REMOVED').map(({ host }) => host));
  return new Map(
    [...released].filter(([host]) => {
      const row = rows.get(host);
      if (row === undefined) return false;
      const isEnrolled = row.publicKey !== undefined && row.revokedAt === undefined;
      return isEnrolled || before === undefined || wasThere.has(host);
    }),
  );
}

/** The cut is marked, because the beginning of a long name could be another host's name. */
function unusableNames(names: readonly string[]): EvaluationRow[] {
  return [...new Set(names.map((name) => storableText(name, MAX_NAME_LENGTH)))].map(unusableName);
}

/** An attribute name that is not a valid host name gets a row with an error. */
function unusableName(name: string): EvaluationRow {
  const error = `no machine can have this name: ${HOST_NAME_RULE}`;
  return { host: name as HostName, outcome: 'EVAL_ERROR', error };
}

function clashingName(host: HostName): EvaluationRow {
  const error = 'another host has the same name in different case, which DNS does not distinguish: rename one of them';
  return { host, outcome: 'EVAL_ERROR', error };
}

/** The number of hosts of the last published revision. A rebuilt database only knows the hosts with a release. */
async function hostsBefore(deps: PipelineDeps, revision: Revision, released: number): Promise<number> {
  const previous = await deps.store.revisions.newestPublished(revision.repositoryId);
  if (previous === undefined) return released;
  return (await deps.store.revisions.evaluations(previous.id)).filter(({ outcome }) => outcome !== 'REMOVED').length;
}

/** Hosts whose own files changed come first, so that a small change of a large fleet is released early. It only affects the order. */
async function probablyTouchedFirst(
  deps: PipelineDeps,
  revision: Revision,
  hosts: readonly HostName[],
  released: ReadonlyMap<HostName, string>,
): Promise<readonly HostName[]> {
  const previous = await deps.store.revisions.newestPublished(revision.repositoryId);
  if (previous === undefined || !isCommit(previous.sha) || hosts.length <= deps.limits.evaluations) return hosts;
  const changes = await deps.mirror.changedPaths(previous.sha, revision.sha);
  if (changes === 'unknown') return hosts;
  const isTouched = (host: HostName): boolean =>
    !released.has(host) || changes.some(({ path }) => path.split('/').some((part) => part === host || part.startsWith(`${host}.`)));
  const touched = new Set(hosts.filter(isTouched));
  return [...touched, ...hosts.filter((host) => !touched.has(host))];
}
