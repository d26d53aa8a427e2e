import type { CommitSha, HandoverState, HostName, StorePath } from '@floe/model';
import type { AuditEntry, CommitInfo, Revision } from './records.ts';
import type { Timestamp } from './timestamp.ts';

/** A file that a CI submitted. */
export interface Handover {
  readonly id: string;
  readonly repositoryId: string;
  /** The same for the same hosts, systems and commit. */
  readonly contentHash: string;
  readonly commit?: CommitSha | undefined;
  /** The name of the token, and whose it was. */
  readonly by: string;
  readonly person: string;
  readonly at: Timestamp;
  readonly state: HandoverState;
  readonly endedAt?: Timestamp | undefined;
  /** Why it was refused, or what it waits for. */
  readonly result: string;
}

/** The system of each of its hosts. */
export type HandoverSystems = ReadonlyMap<HostName, { readonly toplevel: StorePath; readonly system?: string | undefined }>;

export type HandoverRequested =
  /** `isRepeat`: the same file waits already, or is the newest revision. */
  | { readonly kind: 'requested'; readonly id: string; readonly isRepeat: boolean }
  /** As many wait as may, of that person or of all. */
  | { readonly kind: 'too-many'; readonly whose: 'own' | 'all' };

/**
 * What a handover is of. `signers`: who signed the commit that it names, where somebody has to. `head`: the accepted head of the branch, which was
 * seen to contain that commit.
 */
export type NamedCommit = CommitInfo & { readonly signers?: readonly string[] | undefined; readonly head?: CommitSha | undefined };

export interface HandoverStore {
  /** Stores one that waits, and wakes the repository's worker. */
  request(
    handover: Pick<Handover, 'repositoryId' | 'contentHash' | 'commit' | 'by' | 'person' | 'at'> & {
      readonly systems: ReadonlyMap<HostName, StorePath>;
    },
  ): Promise<HandoverRequested>;
  get(id: string): Promise<Handover | undefined>;
  systems(id: string): Promise<HandoverSystems>;
  /** Those that wait, the oldest first. */
  waiting(repositoryId: string): Promise<readonly Handover[]>;
  /** Of one that waits: what for. */
  note(id: string, result: string): Promise<void>;
  /** It comes to nothing, and its systems are forgotten. False: it does not wait any more. */
  refuse(id: string, result: string, at: Timestamp, entry: AuditEntry): Promise<boolean>;
  /**
   * Makes it the newest revision, which supersedes nothing. `systems`: with what each is for. `busy`: two revisions are unfinished.
   * `moved`: the branch has another accepted head than `commit.head`. Undefined: it does not wait any more.
   */
  take(id: string, commit: NamedCommit, systems: HandoverSystems, at: Timestamp): Promise<Revision | 'busy' | 'moved' | undefined>;
  /** The revision that it became. */
  revisionOf(id: string): Promise<string | undefined>;
  /** Removes those that ended before, and that no revision is of. Returns the number. */
  prune(before: Timestamp): Promise<number>;
}
