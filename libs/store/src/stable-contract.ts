import type { HostName, StorePath } from '@floe/model';

/** The release that is a host's stable one, named as its signed statement names it. */
export interface StableRelease {
  readonly host: HostName;
  readonly sequence: number;
  readonly toplevel: StorePath;
}

export interface StableStore {
  /** The stable releases that the statement log does not tell yet, and the number of its newest statement about them. */
  unlogged(repositoryId: string): Promise<{ readonly number: number; readonly hosts: readonly StableRelease[] }>;
  /** The statement with this number tells these. One that has changed meanwhile stays unlogged. */
  noteLogged(repositoryId: string, number: number, told: readonly StableRelease[]): Promise<void>;
  /** All of them are to be logged again: the log is older than the database, and lacks some. */
  relog(repositoryId: string): Promise<void>;
  /**
   * The log tells these: they become the stable ones of their hosts, where they are newer than what is stored. Resolves to those whose release
   * is not stored, which change nothing.
   */
  restore(repositoryId: string, told: readonly StableRelease[]): Promise<readonly StableRelease[]>;
}
