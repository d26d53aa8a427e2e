import type { HostName, StorePath } from '@floe/model';

/** The release that is a host's stable one, named as its signed statement names it. */
export interface StableRelease {
  readonly host: HostName;
  readonly sequence: number;
  readonly toplevel: StorePath;
}

/** What the statement log tells of the policy of the last complete rollout: that it was the default one, or another. */
export type LoggedPolicy = 'default' | 'other';

/** A complete rollout that this database lacks. */
export interface LostRollout {
  /** The statement log says that its policy was the default one. */
  readonly isDefault: boolean;
}

export interface StableStore {
  /**
   * The stable releases that the statement log does not tell yet, the number of its newest statement about them, and what it is to tell of the
   * policy; undefined: nothing new.
   */
  unlogged(
    repositoryId: string,
  ): Promise<{ readonly number: number; readonly hosts: readonly StableRelease[]; readonly policy: LoggedPolicy | undefined }>;
  /** The statement with this number tells these. One that has changed meanwhile stays unlogged. `policy`: null if it tells nothing of it. */
  noteLogged(repositoryId: string, number: number, told: readonly StableRelease[], policy?: LoggedPolicy | null): Promise<void>;
  /** All of them are to be logged again: the log is older than the database, and lacks some. */
  relog(repositoryId: string): Promise<void>;
  /**
   * The log tells these: they become the stable ones of their hosts, where they are newer than what is stored. Resolves to those whose release
   * is not stored, which change nothing.
   */
  restore(repositoryId: string, told: readonly StableRelease[]): Promise<readonly StableRelease[]>;
}
