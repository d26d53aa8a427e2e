/** Why a state was entered: a code for programs, and a sentence for people. */
export interface Detail {
  readonly code: string;
  readonly message: string;
}

/** Durations of the stages of one directive, in ms, measured by the agent with a monotonic clock. */
export interface StageTimings {
  readonly downloadMs?: number | undefined;
  readonly activateMs?: number | undefined;
  readonly verifyMs?: number | undefined;
  readonly commitMs?: number | undefined;
  readonly rollbackMs?: number | undefined;
}
