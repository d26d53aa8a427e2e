import type { Timestamp } from './records.ts';

/** A server that wants to work on this database. */
export interface ServerClaim {
  /** Its public keys, base64: what hosts trust. */
  readonly releaseKey: string;
  readonly serverKey: string;
  /**
   * Its data folder, in this boot of this machine. Only one process at a time has it, so one of before with the same
   * place is gone.
   */
  readonly place: string;
  /** This start of it. */
  readonly process: string;
  /** The same for people: where to find it. */
  readonly description: string;
  readonly now: Timestamp;
  /** Of a `held` that was answered before: the holder has not moved since, and counts as dead if these are still its beats. */
  readonly deadBeats?: number | undefined;
  /** A person wants these keys instead of the others. */
  readonly mayReplaceKeys: boolean;
}

export type ClaimedServer =
  /** `changedKeys`: which of `release` and `server` were others before. `clockHigh`: the latest time that was ever shown here. */
  | { readonly kind: 'claimed'; readonly clockHigh: Timestamp; readonly changedKeys: readonly string[] }
  /** Another process has it. It is alive if its beats grow. */
  | { readonly kind: 'held'; readonly beats: number; readonly description: string }
  /** It belongs to a server with none of these keys. */
  | { readonly kind: 'foreign'; readonly releaseKey: string; readonly serverKey: string };

/** Which server this database belongs to, and which of its processes works on it now. */
export interface ServerStore {
  /** The keys of the server that it belongs to; undefined: nobody's yet. */
  keys(): Promise<{ readonly releaseKey: string; readonly serverKey: string } | undefined>;
  claim(claim: ServerClaim): Promise<ClaimedServer>;
  /** Says that `process` is alive, and raises the clock's mark to `clockHigh`. Undefined: another process has the database now. */
  beat(process: string, clockHigh: Timestamp): Promise<{ readonly clockHigh: Timestamp; readonly databaseNow: Timestamp } | undefined>;
  /** Gives the database back, if `process` has it. */
  leave(process: string): Promise<void>;
  /** A person says that this is the time, whatever was shown before. */
  setClockHigh(clockHigh: Timestamp): Promise<void>;
  /** A write that changes nothing: fails where the database takes none. */
  probe(): Promise<void>;
  /** Takes the room of deleted rows back, where the database does not do so by itself. */
  tidy(): Promise<void>;
}
