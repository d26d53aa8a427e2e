import {
  DEFAULT_POLICY,
  diffFleet,
  HOST_NAME_RULE,
  isAccepted,
  isSuspiciousShrink,
  storableText,
  type HoldCause,
  type HostName,
  type StorePath,
} from '@floe/model';
import { describeError, FloeError, isFloeError } from '@floe/runtime';
import type { EvaluationRow, Revision } from '@floe/store';
import { carryOver } from './carry-over.ts';
import type { PipelineDeps } from '../deps.ts';
import { outcomeOf, setAsideOpaque } from './evaluate-hosts.ts';
import { firstThingsFirst } from './first-things-first.ts';
import { explainOpaque } from './opaque-files.ts';
import { warnOfFlakeSettings } from './flake-settings.ts';
import { takePolicy } from './policy.ts';
import { leftCache, releasedToplevels, type Released } from './released.ts';
import { saveEvaluations } from './save-evaluations.ts';
import { addressOf } from './source.ts';
import { untouchedRows } from './untouched.ts';
import { whoseHosts } from './whose-hosts.ts';

export type EvaluateOutcome =
  | { readonly kind: 'evaluated' }
  /** No host of the revision can be used. */
  | { readonly kind: 'failed'; readonly error: string };

/** Its hosts are known, and nothing stands in the way of evaluating and releasing them. */
export interface Listed {
  readonly kind: 'listed';
  /** With its policy. */
  readonly revision: Revision;
  /** Those that are still to be evaluated, first things first. */
  readonly left: readonly HostName[];
  /** What was found before an interruption. */
  readonly kept: readonly EvaluationRow[];
  /** Names that no machine can have. */
  readonly refused: readonly EvaluationRow[];
}

export type PrepareOutcome =
  | Listed
  /** Nothing is left to do. */
  | { readonly kind: 'evaluated' }
  /** Its policy cannot be used. */
  | { readonly kind: 'refused'; readonly error: string }
  /** It has no hosts that could be listed. */
  | { readonly kind: 'failed'; readonly error: string }
  /** It has far fewer hosts than before, and waits for an administrator. */
  | { readonly kind: 'held'; readonly reason: string; readonly cause: HoldCause };

const MAX_NAME_LENGTH = 64;
/** Names of hosts in the reason of a held commit: more are counted. */
const MAX_GONE_NAMED = 20;

/**
 * Lists the hosts of the revision, takes its policy, and compares what is left of the fleet with what was there. Each listed host has a row
 * afterwards: what was found before an interruption, or that it is still to be evaluated.
 */
export async function prepareRevision(deps: PipelineDeps, received: Revision, signal: AbortSignal): Promise<PrepareOutcome> {
  const { store, repositoryNix, limits } = deps;
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
  const before = await hostsBefore(deps, revision, released.size);
  // The list would loosen its own limit: it is the one in force that counts, and its own where that is stricter.
  const inForce = (await store.rollouts.completeBefore(revision.id)).last?.policy ?? DEFAULT_POLICY;
  const shrinkLimits = [inForce.shrink, revision.policy.shrink];
  if (shrinkLimits.some((limit) => isSuspiciousShrink(before, hosts.length, limit))) {
    const gone = diffFleet([], [...hosts, ...clashing], await lookedAfter(deps, revision, released)).removed.toSorted();
    const cause = { kind: 'shrink', gone } as const;
    const { allowed } = await store.repositories.get(revision.repositoryId);
    const more = gone.length > MAX_GONE_NAMED ? ` and ${gone.length - MAX_GONE_NAMED} more` : '';
    const named = gone.length === 0 ? '' : `; these would go: ${gone.slice(0, MAX_GONE_NAMED).join(', ')}${more}`;
    const reason = `only ${hosts.length} of ${before} hosts are left in the flake${named}`;
    if (!isAccepted(allowed, revision.sha, cause)) return { kind: 'held', reason, cause };
  }
  await store.hosts.ensure(revision.repositoryId, hosts);
  deps.footprints?.keepOnly(hosts);
  deps.traces?.keepOnly(hosts);

  const { isEnrolled } = await whoseHosts(store, revision);
  const inCache = await leftCache(deps, hosts, released);
  const found = await keptRows(deps, revision, hosts, inCache, isEnrolled);
  const isFound = new Set(found.map(({ host }) => host));
  const untouched = await untouchedRows(
    deps,
    revision,
    hosts.filter((host) => !isFound.has(host)),
    inCache,
  );
  const kept = await setAsideOpaque(deps, revision, [...found, ...untouched], signal);
  const done = new Set(kept.map(({ host }) => host));
  const left = hosts.filter((host) => !done.has(host));
  const removed = diffFleet([], [...hosts, ...clashing], await lookedAfter(deps, revision, released)).removed;
  const rows = await saveEvaluations(store, revision.id, kept);
  const others = [...removed.map((host) => ({ host, outcome: 'REMOVED' as const })), ...refused];
  await saveEvaluations(store, revision.id, [...(await unknownRows(deps, revision, left)), ...others]);
  return { kind: 'listed', revision, left: await firstThingsFirst(deps, revision, left), kept: rows, refused };
}

/** What the evaluation of all hosts came to. Throws a retryable error where those that may evaluate later are all that there is. */
export function outcomeOfAll(rows: readonly EvaluationRow[], refused: readonly EvaluationRow[]): EvaluateOutcome {
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
 * A row for each host that has none: it is still to be evaluated. Until then it has the labels that it had, so that the limits of hosts that are on
 * their way to an earlier commit hold. One whose error may pass keeps that row, and what was not Floe's until its machine was enrolled, too.
 */
async function unknownRows({ store }: PipelineDeps, revision: Revision, hosts: readonly HostName[]): Promise<readonly EvaluationRow[]> {
  const known = new Set((await store.revisions.evaluations(revision.id)).map(({ host }) => host));
  const previous = await store.revisions.newestPublished(revision.repositoryId);
  const before = new Map(previous === undefined ? [] : (await store.revisions.evaluations(previous.id)).map((row) => [row.host, row] as const));
  return hosts.flatMap((host) => (known.has(host) ? [] : [{ host, outcome: 'NOT_EVALUATED' as const, labels: before.get(host)?.labels }]));
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
