import type { Accepted, Changes, Deferred, LocalStatus, Notice, Refusal, RollingBack } from './protocol.ts';

/** Expected: a limit is reached, there is nothing to go back to, … The message is for the person who asked. */
export type Refused = Refusal & { readonly kind: 'refused' };
/** The answer to a request, or why it is not done. */
export type Outcome<Answer> = ({ readonly kind: 'ok' } & Answer) | Refused;

/**
 * What the people at the machine may ask of the agent. Limits are enforced behind this interface; the socket only lets
 * in root and one group. Each returns as soon as it is decided and written down, not when it is done.
 */
export interface UserRequests {
  status(): Promise<LocalStatus>;
  /** Lets the system that waits wait longer; undefined: for as long as the policy allows at once. */
  later(minutes: number | undefined): Promise<Outcome<Deferred>>;
  /** Goes ahead with the system that waits, whatever it waits for. */
  now(): Promise<Outcome<Accepted>>;
  /** Back to the system before, and stays there: a local override. */
  rollback(): Promise<Outcome<RollingBack>>;
  /** Ends a local override. */
  resume(): Promise<Outcome<Accepted>>;
  /** Ends early when `signal` aborts: the person went away. */
  changes(signal: AbortSignal): Promise<Outcome<Changes>>;
  /**
   * Calls `listener` with the current notice (null: none) before it returns, and with each that replaces it. Only what still
   * matters is current: what asks for something, or what happened within the hour. Returns how to end it.
   */
  notices(listener: (notice: Notice | null) => void): () => void;
}
