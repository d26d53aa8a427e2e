import type { EvaluationOutcome, RevisionState, RolloutState } from '@floe/model';
import type { RevisionView } from '@floe/protocol';

/** Said of a commit: "commit 3f9c2ab1d0 does not evaluate". */
const STATES: Readonly<Record<RevisionState, string>> = {
  RECEIVED: 'received',
  VERIFYING: 'verifying',
  EVALUATING: 'evaluating',
  BUILDING: 'building',
  PUBLISHED: 'published',
  REJECTED: 'was refused',
  EVAL_FAILED: 'does not evaluate',
  BUILD_FAILED: 'does not build',
  SUPERSEDED: 'superseded',
};

/** Where a rollout is that the counts of its hosts do not tell by themselves. */
const STOPPED: Readonly<Record<RolloutState, string | null>> = {
  WAITING_APPROVAL: 'waits for approval',
  READY: null,
  ROLLING: null,
  SOAKING: null,
  PAUSED: 'paused',
  ABORTED: 'aborted',
  COMPLETE: null,
  SUPERSEDED: null,
};

/** Where a revision is on its way to releases. */
export function revisionWords({ state, isHeld }: Pick<RevisionView, 'state' | 'isHeld'>): string {
  return isHeld ? 'held' : STATES[state];
}

/** Where a revision's rollout is: how many hosts run it, and whether it was stopped. */
export function rolloutWords({ state, description }: Pick<NonNullable<RevisionView['rollout']>, 'state' | 'description'>): string {
  const stopped = STOPPED[state];
  return stopped === null ? description : `${stopped}: ${description}`;
}

/** True when a commit failed as a whole. */
export function hasFailed({ state }: Pick<RevisionView, 'state'>): boolean {
  return state === 'REJECTED' || state === 'EVAL_FAILED' || state === 'BUILD_FAILED';
}

/** Said of a host, or of its configuration, that a commit failed for. */
export function failureWords(outcome: EvaluationOutcome | null | undefined): string {
  return outcome === 'BUILD_ERROR' ? STATES.BUILD_FAILED : STATES.EVAL_FAILED;
}
