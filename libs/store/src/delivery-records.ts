import type { Timestamp } from './timestamp.ts';

/** A webhook delivery. `(forge, id)` is unique. */
export interface Delivery {
  readonly id: string;
  readonly forge: string;
  readonly event: string;
  readonly repositoryId?: string | undefined;
  readonly ref?: string | undefined;
  /** The commit that the branch was moved from; undefined: it was new. */
  readonly before?: string | undefined;
  /** The commit that the branch was moved to. */
  readonly after?: string | undefined;
  /** Who pushed, by the login at the forge; undefined: not known. */
  readonly pusher?: string | undefined;
  /** 'accepted', or why the delivery is ignored. */
  readonly outcome: string;
  readonly receivedAt: Timestamp;
}
