import type { GitMirror } from '@floe/git';
import type { Nix, RepositoryNix } from '@floe/nix';
import type { Clock, Logger, Signer } from '@floe/runtime';
import type { Store } from '@floe/store';
import type { StatementLog } from './statement-log.ts';

export interface PipelineLimits {
  /** Evaluations at once. */
  readonly evaluations: number;
  readonly builds: number;
  readonly evaluationTimeoutMs: number;
  readonly evaluationMemoryBytes: number;
  readonly buildTimeoutMs: number;
  /** Of what one build starts on this machine; Nix's daemon has a limit of its own. */
  readonly buildMemoryBytes: number;
}

/** Where closures are published, and the Nix key that signs them. */
export interface CacheTarget {
  /** A Nix store URL: `file:///…`, `s3://…` */
  readonly url: string;
  readonly secretKeyFile: string;
  /** Nix's form: `name:base64`. */
  readonly publicKey: string;
}

export interface PipelineDeps {
  readonly store: Store;
  readonly mirror: GitMirror;
  /** For our own work: keeps, publishes and reads back. */
  readonly nix: Nix;
  /** For what the repository says: lists, evaluates and builds. */
  readonly repositoryNix: RepositoryNix;
  readonly cache: CacheTarget;
  readonly statements: StatementLog;
  readonly releaseSigner: Signer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly limits: PipelineLimits;
  /** Folder of the builder's GC roots. */
  readonly rootsDir: string;
  /** How often the repository is fetched when no webhook comes, in ms; ± 20 % jitter. */
  readonly pollMs: number;
  /** An error's message with the settings in it by the names that people here know them by. Left out: as they are. */
  readonly nameSettings?: (message: string) => string;
  /** Names this server in leases; the same after a restart. */
  readonly owner: string;
}
