import { isEndedRevision, hasUnreportedTrouble, type RevisionState } from '@floe/model';
import type { RevisionView } from '@floe/protocol';
import { mayBeTheCommit, waitsForPeople } from './rollout-words.ts';

/** `partly`: done, but not for all hosts. `held`: waits for an administrator. `skipped`: it will not happen any more. */
export type StageStatus = 'done' | 'partly' | 'running' | 'held' | 'failed' | 'waiting' | 'skipped';

const NAMES = ['received', 'fetched', 'evaluated', 'built', 'published'] as const;
export type StageName = (typeof NAMES)[number] | 'rollout';

export interface Stage {
  readonly name: StageName;
  readonly status: StageStatus;
  /** When it was reached; null while it is not, or when the time was lost. */
  readonly at: number | null;
  /** When it began, as far as known: the end of the stage before. */
  readonly startedAt: number | null;
  /** For how many of its hosts it is done, where that is not all: "2 of 3". */
  readonly share: string | null;
}

/** The stage that a failed revision failed in, where its state says so. */
const FAILED_AT: Partial<Record<RevisionState, number>> = { EVAL_FAILED: 2, BUILD_FAILED: 3 };

/** A revision's way from the push to the machines, each step with what is known of it. */
export function stagesOf(revision: RevisionView): readonly Stage[] {
  const { state } = revision;
  const times = [revision.receivedAt, revision.fetchedAt, revision.evaluatedAt, revision.builtAt, revision.publishedAt];
  const isEvaluating = !isEndedRevision(state) && revision.hosts.some(({ outcome }) => outcome === 'NOT_EVALUATED');
  // The time of the first host that could be built is not yet that of the last one.
  if (isEvaluating) times[2] = null;
  const firstOpen = times.indexOf(null);
  const reached = firstOpen === -1 ? times.length : firstOpen;
  // A published revision may have lost some of its times (its row was rebuilt from signed statements).
  const current = state === 'PUBLISHED' ? times.length : (FAILED_AT[state] ?? reached);
  const currentStatus = statusOf(revision);
  const laterStatus: StageStatus = isEndedRevision(state) ? 'skipped' : 'waiting';

  const shares = sharesOf(revision);
  const stages = NAMES.map((name, index): Stage => {
    // Hosts that are evaluated are built while others are not.
    const isToo = index === current + 1 && isEvaluating && state === 'BUILDING';
    const status = index < current ? 'done' : index === current || isToo ? currentStatus : laterStatus;
    const share = shares[name] ?? null;
    // A person's time is not the stage's: it is counted from when the commit was accepted.
    const before = index === 0 ? null : (times[index - 1] ?? null);
    const startedAt = before === null || !isWithin(revision.allowedAt, before, times[index]) ? before : revision.allowedAt;
    return { name, status: status === 'done' && share !== null ? 'partly' : status, at: times[index] ?? null, startedAt, share };
  });
  return [...stages, rolloutStage(revision, laterStatus)];
}

/** Of the stage that a revision is at, or ended at. */
function statusOf({ state, isHeld, waits }: RevisionView): StageStatus {
  if (isEndedRevision(state)) return state === 'SUPERSEDED' ? 'skipped' : 'failed';
  if (isHeld) return 'held';
  return waits === null ? 'running' : 'waiting';
}

function isWithin(at: number | null, from: number, to: number | null | undefined): boolean {
  return at !== null && at > from && (to == null || at <= to);
}

/** Where a stage is not done for all hosts that it concerns. */
function sharesOf({ hosts }: RevisionView): Partial<Record<StageName, string>> {
  const count = (...outcomes: readonly string[]): number => hosts.filter(({ outcome }) => outcome !== null && outcomes.includes(outcome)).length;
  const present = hosts.length - count('REMOVED', 'NOT_OURS');
  const [unevaluated, unbuilt] = [count('EVAL_ERROR', 'NOT_EVALUATED'), count('BUILD_ERROR')];
  const wanted = count('CHANGED', 'NEW', 'BUILD_ERROR');
  return {
    ...(unevaluated === 0 ? {} : { evaluated: `${present - unevaluated} of ${present}` }),
    ...(unbuilt === 0 ? {} : { built: `${wanted - unbuilt} of ${wanted}` }),
  };
}

function rolloutStage({ state, rollout }: RevisionView, laterStatus: StageStatus): Stage {
  const name = 'rollout';
  if (rollout === null) return { name, status: state === 'PUBLISHED' ? 'waiting' : laterStatus, at: null, startedAt: null, share: null };
  const { counts } = rollout;
  const share = counts === null || counts['in-sync'] === counts.total ? null : `${counts['in-sync']} of ${counts.total}`;
  return { name, status: rolloutStatus(rollout), at: rollout.completedAt ?? rollout.frozenAt, startedAt: rollout.startedAt, share };
}

/** By what its hosts came to: what the row of the rollout says of itself is for programs. */
function rolloutStatus({ state, rings, counts, frozenAt, pause }: NonNullable<RevisionView['rollout']>): StageStatus {
  if (waitsForPeople({ state, rings })) return 'held';
  if (counts === null) return state === 'COMPLETE' ? 'done' : 'skipped';
  if (state === 'PAUSED' && pause !== null && !mayBeTheCommit(pause.cause)) return 'held';
  if (state === 'PAUSED' || state === 'ABORTED') return 'failed';
  if (frozenAt === null && counts['under-way'] > 0) return 'running';
  if (hasUnreportedTrouble(counts)) return 'failed';
  if (frozenAt === null && state !== 'COMPLETE') return 'running';
  if (counts['in-sync'] === counts.total) return 'done';
  return counts['in-sync'] === 0 && frozenAt !== null ? 'skipped' : 'partly';
}

/** How long a stage took, or takes so far; null when that is not known. */
export function stageMs(stage: Stage, now: number): number | null {
  if (stage.startedAt === null) return null;
  if (stage.status === 'running') return Math.max(0, now - stage.startedAt);
  return stage.at === null || (stage.status !== 'done' && stage.status !== 'partly') ? null : Math.max(0, stage.at - stage.startedAt);
}
