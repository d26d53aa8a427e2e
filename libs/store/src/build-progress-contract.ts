import type { HostName } from '@floe/model';
import type { Timestamp } from './timestamp.ts';

/** A build that runs: of a host, or of a check of the policy. The texts come from the repository. */
export interface BuildUnderWay {
  readonly host?: HostName | undefined;
  readonly check?: string | undefined;
  /** By the builder's clock. */
  readonly since: Timestamp;
  /** The derivation that said something last, or was begun last. */
  readonly derivation?: string | undefined;
  /** The last line of its log. */
  readonly line?: string | undefined;
}

export interface BuildProgressStore {
  /** The builds of the revision that run now, in place of all that were noted of the repository before. */
  noteBuilds(repositoryId: string, revisionId: string, builds: readonly BuildUnderWay[]): Promise<void>;
  /** Those that were noted last, the longest first. The builder may be gone since. */
  buildsOf(revisionId: string): Promise<readonly BuildUnderWay[]>;
}
