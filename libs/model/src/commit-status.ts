/** What a commit page can say of one context. */
export const STATUS_STATES = ['pending', 'success', 'failure', 'error'] as const;
export type StatusState = (typeof STATUS_STATES)[number];

/** The lines that Floe writes on a commit, in the order in which a push walks through them. */
export const STATUS_CONTEXTS = ['floe/evaluate', 'floe/build', 'floe/rollout'] as const;
export type StatusContext = (typeof STATUS_CONTEXTS)[number];

/** A state and the sentence beside it. */
export interface StatusText {
  readonly state: StatusState;
  readonly description: string;
}
