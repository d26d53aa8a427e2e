import { isEndedRevision, type RevisionState } from '@floe/model';
import type { RevisionView } from '@floe/protocol';

/** `skipped`: it will not happen any more. */
export type StageStatus = 'done' | 'running' | 'failed' | 'waiting' | 'skipped';

const NAMES = ['received', 'fetched', 'evaluated', 'built', 'published'] as const;
export type StageName = (typeof NAMES)[number] | 'rollout';

export interface Stage {
  readonly name: StageName;
  readonly status: StageStatus;
  /** When it was reached; null while it is not, or when the time was lost. */
  readonly at: number | null;
  /** When it began, as far as known: the end of the stage before. */
  readonly startedAt: number | null;
}

/** The stage that a failed revision failed in, where its state says so. */
const FAILED_AT: Partial<Record<RevisionState, number>> = { EVAL_FAILED: 2, BUILD_FAILED: 3 };

/** A revision's way from the push to the machines, each step with what is known of it. */
export function stagesOf(revision: RevisionView): readonly Stage[] {
  const { state } = revision;
  const times = [revision.receivedAt, revision.fetchedAt, revision.evaluatedAt, revision.builtAt, revision.publishedAt];
  const firstOpen = times.indexOf(null);
  const reached = firstOpen === -1 ? times.length : firstOpen;
  // A published revision may have lost some of its times (its row was rebuilt from signed statements).
  const current = state === 'PUBLISHED' ? times.length : (FAILED_AT[state] ?? reached);
  const currentStatus: StageStatus = !isEndedRevision(state) ? 'running' : state === 'SUPERSEDED' ? 'skipped' : 'failed';
  const laterStatus: StageStatus = isEndedRevision(state) ? 'skipped' : 'waiting';

  const stages = NAMES.map((name, index): Stage => {
    const status = index < current ? 'done' : index === current ? currentStatus : laterStatus;
    return { name, status, at: times[index] ?? null, startedAt: index === 0 ? null : (times[index - 1] ?? null) };
  });
  return [...stages, rolloutStage(revision, laterStatus)];
}

function rolloutStage({ state, rollout }: RevisionView, laterStatus: StageStatus): Stage {
  const name = 'rollout';
  if (rollout === null) return { name, status: state === 'PUBLISHED' ? 'waiting' : laterStatus, at: null, startedAt: null };
  return { name, status: rolloutStatus(rollout), at: rollout.completedAt, startedAt: rollout.startedAt };
}

function rolloutStatus({ state, counts }: NonNullable<RevisionView['rollout']>): StageStatus {
  switch (state) {
    case 'COMPLETE':
      return 'done';
    case 'SUPERSEDED':
      return 'skipped';
    case 'PAUSED':
    case 'ABORTED':
      return 'failed';
    case 'WAITING_APPROVAL':
      return 'waiting';
    case 'READY':
    case 'ROLLING':
    case 'SOAKING':
      // Nothing moves and something went wrong: it does not complete without a person.
      return counts['under-way'] === 0 && counts['rolled-back'] + counts.failed > 0 ? 'failed' : 'running';
  }
}

/** How long a stage took, or takes so far; null when that is not known. */
export function stageMs(stage: Stage, now: number): number | null {
  if (stage.startedAt === null) return null;
  if (stage.status === 'running') return Math.max(0, now - stage.startedAt);
  return stage.at === null || stage.status !== 'done' ? null : Math.max(0, stage.at - stage.startedAt);
}
