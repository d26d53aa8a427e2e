/** The states of a commit status. */
export const STATUS_STATES = ['pending', 'success', 'failure', 'error'] as const;
export type StatusState = (typeof STATUS_STATES)[number];

/** The contexts of Floe's commit statuses, in the order of the stages. */
export const STATUS_CONTEXTS = ['floe/evaluate', 'floe/build', 'floe/rollout'] as const;
/** A rollout of several rings has a context for each: this, and the ring's name. */
export const RING_CONTEXT = 'floe/rollout/';
export type RingContext = `${typeof RING_CONTEXT}${string}`;
/** Of the head of a branch `testing/<host>`, which one host tries. */
export const TRIAL_CONTEXT = 'floe/trial';
export type StatusContext = (typeof STATUS_CONTEXTS)[number] | RingContext | typeof TRIAL_CONTEXT;

/** A status without its context: the state, and the text beside it. */
export interface StatusText {
  readonly state: StatusState;
  readonly description: string;
  /** More is known to come: these are not the last words, even where the verdict stands. */
  readonly isUnderWay?: boolean | undefined;
}

/** How the status of a commit begins that waits for an administrator. Once it waits no more, the status says something else. */
export const HELD_PREFIX = 'held: ';
