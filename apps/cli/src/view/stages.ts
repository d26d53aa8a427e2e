import { isEndedRevision, type RevisionState } from '@floe/model';
import type { RevisionView } from '@floe/protocol';

export const STAGE_NAMES = ['received', 'fetched', 'evaluated', 'built', 'published', 'rollout'] as const;
export type StageName = (typeof STAGE_NAMES)[number];

/** `skipped`: it will not happen any more. */
export type StageStatus = 'done' | 'running' | 'failed' | 'waiting' | 'skipped';

export interface Stage {
  readonly name: StageName;
  readonly status: StageStatus;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
}

const FAILED_STAGE: Partial<Record<RevisionState, number>> = { EVAL_FAILED: 2, BUILD_FAILED: 3 };

/** How far a revision is on its way from the push to the machines. Each stage starts where the one before ended. */
export function stagesOf(revision: RevisionView): readonly Stage[] {
  const ends = [revision.receivedAt, revision.fetchedAt, revision.evaluatedAt, revision.builtAt, revision.publishedAt];
  const firstOpen = ends.indexOf(null);
  const isPublished = revision.state === 'PUBLISHED';
  // A revision that was rebuilt from the statement log is published, but some of its times are lost.
  const open = isPublished ? ends.length : (FAILED_STAGE[revision.state] ?? (firstOpen === -1 ? ends.length : firstOpen));
  const hasFailed = revision.state === 'REJECTED' || FAILED_STAGE[revision.state] !== undefined;
  const stages = ends.map((end, index): Stage => {
    const name = STAGE_NAMES[index] ?? 'rollout';
    const startedAt = index === 0 ? revision.receivedAt : (ends[index - 1] ?? null);
    if (index < open) return { name, status: 'done', startedAt, endedAt: end };
    if (index === open && hasFailed) return { name, status: 'failed', startedAt, endedAt: end };
    const status = isEndedRevision(revision.state) ? 'skipped' : index === open ? 'running' : 'waiting';
    return { name, status, startedAt: status === 'running' ? startedAt : null, endedAt: null };
  });
  return [...stages, rolloutStage(revision)];
}

function rolloutStage(revision: RevisionView): Stage {
  const { rollout } = revision;
  if (rollout === null) {
    const isOver = isEndedRevision(revision.state) && revision.state !== 'PUBLISHED';
    return { name: 'rollout', status: isOver ? 'skipped' : 'waiting', startedAt: null, endedAt: null };
  }
  const times = { name: 'rollout', startedAt: rollout.startedAt, endedAt: rollout.completedAt } as const;
  switch (rollout.state) {
    case 'COMPLETE':
      return { ...times, status: 'done' };
    case 'PAUSED':
    case 'ABORTED':
      return { ...times, status: 'failed' };
    case 'SUPERSEDED':
      return { ...times, status: 'skipped' };
    case 'WAITING_APPROVAL':
      return { ...times, status: 'waiting' };
    default: {
      const { underWay, rolledBack, failed } = rollout.counts;
      return { ...times, status: underWay === 0 && rolledBack + failed > 0 ? 'failed' : 'running' };
    }
  }
}

/** How long a stage took, or takes until `now`; null when that is not known. */
export function stageMs(stage: Stage, now: number): number | null {
  if (stage.name === 'received' || stage.startedAt === null) return null;
  if (stage.endedAt !== null) return Math.max(0, stage.endedAt - stage.startedAt);
  return stage.status === 'running' ? Math.max(0, now - stage.startedAt) : null;
}
