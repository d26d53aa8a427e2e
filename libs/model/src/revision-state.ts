/** The states of a revision from its arrival to signed releases (SPEC.md, "Revision"). */
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
  /** An administrator asks for another evaluation. */
  'reopened',
  /** Administrators let it pass below the floor that the server's settings set. */
  'glass-broken',
  /** What a newer commit replaced goes on, because that one was refused or failed. */
  'taken-up',
] as const;
export type RevisionEvent = (typeof REVISION_EVENTS)[number];

type Row = Readonly<Record<RevisionEvent, RevisionState | null>>;
/** `null`: the state ignores the event. Every cell is written out: a missing one does not compile. */
const TABLE: Readonly<Record<RevisionState, Row>> = {
  RECEIVED: {
    accepted: 'VERIFYING',
    verified: null,
    refused: 'REJECTED',
    evaluated: null,
    'evaluation-failed': null,
    built: null,
    'build-failed': null,
    superseded: 'SUPERSEDED',
    reopened: null,
    'glass-broken': null,
    'taken-up': null,
  },
  VERIFYING: {
    accepted: null,
    verified: 'EVALUATING',
    refused: 'REJECTED',
    evaluated: null,
    'evaluation-failed': null,
    built: null,
    'build-failed': null,
    superseded: 'SUPERSEDED',
    reopened: null,
    'glass-broken': null,
    'taken-up': null,
  },
  EVALUATING: {
    accepted: null,
    verified: null,
    refused: 'REJECTED',
    evaluated: 'BUILDING',
    'evaluation-failed': 'EVAL_FAILED',
    built: null,
    'build-failed': null,
    superseded: 'SUPERSEDED',
    reopened: null,
    'glass-broken': null,
    'taken-up': null,
  },
  BUILDING: {
    accepted: null,
    verified: null,
    refused: null,
    evaluated: null,
    'evaluation-failed': null,
    built: 'PUBLISHED',
    'build-failed': 'BUILD_FAILED',
    superseded: 'SUPERSEDED',
    reopened: null,
    'glass-broken': null,
    'taken-up': null,
  },
  PUBLISHED: {
    accepted: null,
    verified: null,
    refused: null,
    evaluated: null,
    'evaluation-failed': null,
    built: null,
    'build-failed': null,
    superseded: null,
    reopened: 'EVALUATING',
    'glass-broken': null,
    'taken-up': null,
  },
  REJECTED: {
    accepted: null,
    verified: null,
    refused: null,
    evaluated: null,
    'evaluation-failed': null,
    built: null,
    'build-failed': null,
    superseded: null,
    reopened: null,
    'glass-broken': 'VERIFYING',
    'taken-up': null,
  },
  EVAL_FAILED: {
    accepted: null,
    verified: null,
    refused: null,
    evaluated: null,
    'evaluation-failed': null,
    built: null,
    'build-failed': null,
    superseded: null,
    reopened: 'EVALUATING',
    'glass-broken': null,
    'taken-up': null,
  },
  // A host whose download failed is retried, and may be built late.
  BUILD_FAILED: {
    accepted: null,
    verified: null,
    refused: null,
    evaluated: null,
    'evaluation-failed': null,
    built: 'PUBLISHED',
    'build-failed': null,
    superseded: null,
    reopened: 'EVALUATING',
    'glass-broken': null,
    'taken-up': null,
  },
  SUPERSEDED: {
    accepted: null,
    verified: null,
    refused: null,
    evaluated: null,
    'evaluation-failed': null,
    built: null,
    'build-failed': null,
    superseded: null,
    reopened: null,
    'glass-broken': null,
    'taken-up': 'RECEIVED',
  },
};
const ENDS: ReadonlySet<RevisionState> = new Set(['PUBLISHED', 'REJECTED', 'EVAL_FAILED', 'BUILD_FAILED', 'SUPERSEDED']);

/** The state after `event`; null: the state ignores it. */
export function nextRevisionState(state: RevisionState, event: RevisionEvent): RevisionState | null {
  return TABLE[state][event];
}

/** While it is built the hosts that are ready have their releases already, and its rollout has begun. */
export const HANDING_OUT = ['BUILDING', 'PUBLISHED'] as const satisfies readonly RevisionState[];

/** Its releases count: those of a revision in another state are of a time before it was evaluated again. */
export function isHandingOut(state: RevisionState): boolean {
  return (HANDING_OUT as readonly RevisionState[]).includes(state);
}

/** It came to nothing as a whole, by what it is and not by what came after it. */
export const FAILED_REVISION = ['REJECTED', 'EVAL_FAILED', 'BUILD_FAILED'] as const satisfies readonly RevisionState[];

export function isFailedRevision(state: RevisionState): boolean {
  return (FAILED_REVISION as readonly RevisionState[]).includes(state);
}

/** True when the revision is no longer processed: only an administrator, or a retry of one of its hosts, can change its state. */
export function isEndedRevision(state: RevisionState): boolean {
  return ENDS.has(state);
}
