import type { HostName } from '@floe/model';
import type { HostRow, Timestamp } from './records.ts';

/** The machine with this key has the name `host` from now on. */
export interface HostRenaming {
  readonly formerHost: HostName;
  readonly host: HostName;
  readonly publicKey: string;
  readonly at: Timestamp;
  /** The statement log tells of it: it was right then, whatever the database still has of it. */
  readonly isRestored?: boolean;
  /** Runs in the transaction when nothing is against it, before anything is moved: what is refused is written down nowhere. */
  readonly beforeMove?: () => Promise<void>;
}

/** Hosts that have another name from now on. */
export interface HostRenames {
  /**
   * Moves everything that is known of `formerHost` to `host`, in one transaction. Nothing is changed where `formerHost` is not enrolled with that
   * key (`not-enrolled`), `host` is enrolled (`taken`), or has no release that is newer than those of `formerHost` (`no-release`).
   */
  rename(renaming: HostRenaming): Promise<'renamed' | 'not-enrolled' | 'taken' | 'no-release'>;
  /** Notes a rename of the statement log, if it is not known: `host` is what it came to, also by later ones. */
  noteRenamed(formerHost: HostName, host: HostName, at: Timestamp): Promise<void>;
  /** The host that had this name before it was renamed. */
  renamed(formerHost: HostName): Promise<HostRow | undefined>;
}
