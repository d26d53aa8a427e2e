import type { CommitSha, HostName } from '@floe/model';
import type { Timestamp } from './records.ts';

/** A person says that the system of a commit does not run on the host; on none that the commit changed, where there is no host. */
export interface QuarantineOrder {
  readonly repositoryId: string;
  readonly host: HostName | undefined;
  readonly commit: CommitSha;
  readonly reason: string;
  readonly by: string;
  readonly at: Timestamp;
  /** It is lifted by itself then. Undefined: somebody lifts it. */
  readonly until?: Timestamp | undefined;
}

/** What does not run on hosts. */
export interface QuarantineStore {
  /** A second one about the same replaces the first. False: the host is not there any more. */
  orderQuarantine(order: QuarantineOrder): Promise<boolean>;
  /** `endedBy`: only one whose end has come by then. False: there was none. */
  liftQuarantine(order: Pick<QuarantineOrder, 'repositoryId' | 'host' | 'commit'> & { readonly endedBy?: Timestamp | undefined }): Promise<boolean>;
  /**
   * Deletes quarantines of systems that were never released to the host, and quarantines from before `before` of systems that
   * it cannot be told any more. Returns the number.
   */
  pruneQuarantines(before: Timestamp): Promise<number>;
}
