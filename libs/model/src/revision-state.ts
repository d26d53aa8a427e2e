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

export const REVISION_EVENTS = [
  'accepted',
  'verified',
  'refused',
  'evaluated',
  'evaluation-failed',
  'built',
  'build-failed',
  'superseded',
  /** An administrator asks for it to be evaluated anew. */
  'reopened',
] as const;
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
  reopened: null,
};

/** `null`: the event means nothing in this state and changes nothing. A missing cell does not compile. */
const TABLE: Record<RevisionState, Row> = {
  RECEIVED: { ...ENDED, accepted: 'VERIFYING', refused: 'REJECTED', superseded: 'SUPERSEDED' },
  VERIFYING: { ...ENDED, verified: 'EVALUATING', refused: 'REJECTED', superseded: 'SUPERSEDED' },
  EVALUATING: { ...ENDED, evaluated: 'BUILDING', 'evaluation-failed': 'EVAL_FAILED', refused: 'REJECTED', superseded: 'SUPERSEDED' },
  BUILDING: { ...ENDED, built: 'PUBLISHED', 'build-failed': 'BUILD_FAILED', superseded: 'SUPERSEDED' },
  PUBLISHED: { ...ENDED, reopened: 'EVALUATING' },
  REJECTED: ENDED,
  EVAL_FAILED: { ...ENDED, reopened: 'EVALUATING' },
  // A host of it whose download failed is tried again, and may be built late.
  BUILD_FAILED: { ...ENDED, built: 'PUBLISHED', reopened: 'EVALUATING' },
  SUPERSEDED: ENDED,
};
const ENDS: ReadonlySet<RevisionState> = new Set(['PUBLISHED', 'REJECTED', 'EVAL_FAILED', 'BUILD_FAILED', 'SUPERSEDED']);

/** The state after `event`, or null when the event changes nothing there. */
export function nextRevisionState(state: RevisionState, event: RevisionEvent): RevisionState | null {
  return TABLE[state][event];
}

/** True when the revision is under way no more: nothing but a person, or a host of it that is tried again, moves it. */
export function isEndedRevision(state: RevisionState): boolean {
  return ENDS.has(state);
}
