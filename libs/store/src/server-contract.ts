import type { Timestamp } from './records.ts';

/** A server that wants to use this database. */
export interface ServerClaim {
  /** Its public keys, base64, which hosts trust. */
  readonly releaseKey: string;
  readonly serverKey: string;
  /** Its data folder, in this boot of this machine. Only one process at a time uses it, so an earlier process with the same place has ended. */
  readonly place: string;
  /** Identifies this start of it. */
  readonly process: string;
  /** The same for people: where it runs. */
  readonly description: string;
  readonly now: Timestamp;
  /** The beats of an earlier `held` answer: if the holder still has them, it counts as dead. */
  readonly deadBeats?: number | undefined;
  /** An administrator wants to replace the other server's keys. */
  readonly mayReplaceKeys: boolean;
}

export type ClaimedServer =
  /** `changedKeys`: which of `release` and `server` differ from before. `clockHigh`: the latest time that was ever recorded here. */
  | { readonly kind: 'claimed'; readonly clockHigh: Timestamp; readonly changedKeys: readonly string[] }
  /** Another process uses it. It is alive if its beats grow. */
  | { readonly kind: 'held'; readonly beats: number; readonly description: string }
  /** It belongs to a server with none of these keys. */
  | { readonly kind: 'foreign'; readonly releaseKey: string; readonly serverKey: string };

/** Which server this database belongs to, and which of its processes uses it now. */
export interface ServerStore {
  /** The keys of the server that it belongs to; undefined: not claimed yet. */
  keys(): Promise<{ readonly releaseKey: string; readonly serverKey: string } | undefined>;
  claim(claim: ServerClaim): Promise<ClaimedServer>;
  /** Records that `process` is alive, and raises the highest recorded time to `clockHigh`. Undefined: another process uses the database now. */
  beat(process: string, clockHigh: Timestamp): Promise<{ readonly clockHigh: Timestamp; readonly databaseNow: Timestamp } | undefined>;
  /** Releases the database, if `process` uses it. */
  leave(process: string): Promise<void>;
  /** An administrator accepts this time as correct, whatever was recorded before. */
  setClockHigh(clockHigh: Timestamp): Promise<void>;
  /** A write that changes nothing, and fails where the database accepts no writes. */
  probe(): Promise<void>;
  /** Reclaims the space of deleted rows, where the database does not do so itself. */
  tidy(): Promise<void>;
}
