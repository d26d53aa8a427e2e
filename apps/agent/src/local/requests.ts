import type { Accepted, Changes, Deferred, LocalStatus, Notice, RequestRefusal, RollingBack } from './protocol.ts';

/** An expected outcome: a limit is reached, there is no previous system, … The message is for the user who asked. */
export type Refused = RequestRefusal & { readonly kind: 'refused' };
/** The answer to a request, or why the agent refuses it. */
export type Outcome<Answer> = ({ readonly kind: 'ok' } & Answer) | Refused;

/**
 * What the machine's users may request. This interface enforces the policy's limits; the socket only restricts access to root and
 * one group. Each request returns when the decision is on disk, before it is carried out.
 */
export interface UserRequests {
  status(): Promise<LocalStatus>;
  /** Defers the waiting system; undefined: for as long as the policy allows at once. */
  later(minutes: number | undefined): Promise<Outcome<Deferred>>;
  /** Activates the waiting system now, whatever it waits for. */
  now(): Promise<Outcome<Accepted>>;
  /** Goes back to the previous system, and stays there: a local override. */
  rollback(): Promise<Outcome<RollingBack>>;
  /** Ends a local override. */
  resume(): Promise<Outcome<Accepted>>;
  /** Ends early when `signal` aborts: the client has gone. */
  changes(signal: AbortSignal): Promise<Outcome<Changes>>;
  /**
   * Calls `listener` with the current notice (null: none) before it returns, and with each later one. A notice is current while it
   * asks for something, or within an hour of what it reports. Returns a function that ends this.
   */
  notices(listener: (notice: Notice | null) => void): () => void;
}
