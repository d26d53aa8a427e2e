import { isFailedRevision, type EvaluationOutcome, type RevisionState } from '@floe/model';
import type { RevisionView } from '@floe/protocol';
import { words } from './text.ts';

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

/** Where a revision is on its way to releases. */
export function revisionWords({ state, isHeld }: Pick<RevisionView, 'state' | 'isHeld'>): string {
  return isHeld ? 'held' : STATES[state];
}

/** True when a commit failed as a whole. */
export function hasFailed({ state }: Pick<RevisionView, 'state'>): boolean {
  return isFailedRevision(state);
}

/** Said of a host, or of its configuration, that a commit failed for. */
export function failureWords(outcome: EvaluationOutcome | null | undefined): string {
  return outcome === 'BUILD_ERROR' ? STATES.BUILD_FAILED : STATES.EVAL_FAILED;
}

/** What a revision meant for a host: "changed", "eval error". */
export function outcomeWords(outcome: EvaluationOutcome): string {
  return outcome === 'NOT_OURS' ? "not Floe's" : words(outcome);
}
