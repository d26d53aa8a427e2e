/** A code for programs and a sentence for people: why a state was entered. */
export interface Detail {
  readonly code: string;
  readonly message: string;
}

/** Durations of the stages of one directive, in ms, as the agent measured them with a clock that does not jump. */
export interface StageTimings {
  readonly downloadMs?: number | undefined;
  readonly activateMs?: number | undefined;
  readonly verifyMs?: number | undefined;
  readonly commitMs?: number | undefined;
  readonly rollbackMs?: number | undefined;
}
