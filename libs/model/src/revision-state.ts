/** The walk of a revision from its arrival to signed releases (SPEC.md, "Revision"). */
export const REVISION_STATES = [
  'RECEIVED',
  'VERIFYING',
  'EVALUATING',
  'BUILDING',
  'PUBLISHED',
  'REJECTED',
  'EVAL_FAILED',
  'BUILD_FAILED',
  'SUPERSEDED',
] as const;
export type RevisionState = (typeof REVISION_STATES)[number];

export const REVISION_EVENTS = ['accepted', 'verified', 'refused', 'evaluated', 'evaluation-failed', 'built', 'build-failed', 'superseded'] as const;
export type RevisionEvent = (typeof REVISION_EVENTS)[number];

type Row = Record<RevisionEvent, RevisionState | null>;
const ENDED: Row = {
  accepted: null,
  verified: null,
  refused: null,
  evaluated: null,
  'evaluation-failed': null,
  built: null,
  'build-failed': null,
  superseded: null,
};

/** `null`: the event means nothing in this state and changes nothing. A missing cell does not compile. */
const TABLE: Record<RevisionState, Row> = {
  RECEIVED: { ...ENDED, accepted: 'VERIFYING', refused: 'REJECTED', superseded: 'SUPERSEDED' },
  VERIFYING: { ...ENDED, verified: 'EVALUATING', refused: 'REJECTED', superseded: 'SUPERSEDED' },
  EVALUATING: { ...ENDED, evaluated: 'BUILDING', 'evaluation-failed': 'EVAL_FAILED', refused: 'REJECTED', superseded: 'SUPERSEDED' },
  BUILDING: { ...ENDED, built: 'PUBLISHED', 'build-failed': 'BUILD_FAILED', superseded: 'SUPERSEDED' },
  PUBLISHED: ENDED,
  REJECTED: ENDED,
  EVAL_FAILED: ENDED,
  BUILD_FAILED: ENDED,
  SUPERSEDED: ENDED,
};

/** The state after `event`, or null when the event changes nothing there. */
export function nextRevisionState(state: RevisionState, event: RevisionEvent): RevisionState | null {
  return TABLE[state][event];
}

/** True when nothing more will happen to the revision. */
export function isEndedRevision(state: RevisionState): boolean {
  return TABLE[state] === ENDED;
}
