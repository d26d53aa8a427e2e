import type { GitMirror } from '@floe/git';
import type { CacheFolder, Nix, Publisher, ReadableCache, RepositoryNix } from '@floe/nix';
import type { PolicyFloor, StorePath } from '@floe/model';
import type { ReleaseStatement } from '@floe/protocol';
import type { AsyncSigner, Clock, Logger } from '@floe/runtime';
import type { PlainStore } from '@floe/store';
import type { TestingDeps } from './testing-branches/testing-deps.ts';
import type { EvaluateSource } from './evaluation/evaluate-source.ts';
import type { Footprints } from './evaluation/footprints.ts';
import type { Traces } from './evaluation/traces.ts';
import type { OwnEvaluations } from './evaluation/own-evaluations.ts';
import type { AllowedSigners } from './commit-signers/types.ts';
import type { StatementLog } from './statements/statement-log.ts';

export interface PipelineLimits {
  /** How many hosts are evaluated at the same time. */
  readonly evaluations: number;
  readonly builds: number;
  readonly evaluationTimeoutMs: number;
  readonly evaluationMemoryBytes: number;
  readonly buildTimeoutMs: number;
  /** How many derivations one build runs on this machine at the same time. Nix's daemon has its own limit. */
  readonly buildMemoryBytes: number;
}

/** The cache that hosts download from, and what brings closures there. */
export interface CacheTarget extends ReadableCache {
  readonly publisher: Publisher;
  /** Whether a cache elsewhere still has a system that was published there. Undefined: there is none. */
  readonly hasElsewhere?: ((toplevel: StorePath) => Promise<boolean>) | undefined;
  /** The folder of this builder from which it removes what nobody needs. Undefined: nothing is published to a folder. */
  readonly folder?: Pick<CacheFolder, 'publishing' | 'keep'> | undefined;
}

export interface PipelineDeps {
  readonly store: PlainStore;
  readonly mirror: GitMirror;
  /** For the server's own commands: keeping, publishing and reading back. */
  readonly nix: Nix;
  /** For commands about the repository: listing, evaluating and building its hosts. */
  readonly repositoryNix: RepositoryNix;
  readonly cache: CacheTarget;
  readonly statements: StatementLog;
  readonly releaseSigner: AsyncSigner;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly limits: PipelineLimits;
  /** Folder of the builder's GC roots. */
  readonly rootsDir: string;
  /** How often the repository is fetched without a webhook, in ms; ± 20 % jitter. */
  readonly pollMs: number;
  /** The notification targets that the server's settings have: a policy that names others gets a warning. Undefined: they are not known. */
  readonly notifyTargets?: readonly string[];
  /** What every policy must have at least, by the server's settings; undefined: nothing. */
  readonly policyFloor?: PolicyFloor | undefined;
  /** What of a commit is evaluated, by the server's settings. Default: all of it. */
  readonly source?: EvaluateSource | undefined;
  /** Whether it is looked for the commit in the systems, while nothing else is to be done. Default: it is not. */
  readonly looksForSelf?: boolean | undefined;
  /** Which files each host's evaluation took, for the order of the next ones. Undefined: they are ordered by names and earlier commits alone. */
  readonly footprints?: Footprints | undefined;
  /** What the evaluation of each host looks at, so that a commit that changes none of it evaluates none again. Undefined: all are evaluated. */
  readonly traces?: Traces | undefined;
  /** Who may sign commits, by the server's settings; undefined: nobody has to. */
  readonly signers?: AllowedSigners | undefined;
  /** The probes that the server's settings have: the same. */
  readonly probes?: readonly string[];
  /** Rewrites an error's message to use the setting names of this installation. Default: unchanged. */
  readonly nameSettings?: (message: string) => string;
  /** Of a builder that is a process of its own, and does not believe the database: what it evaluated. Undefined: the database is believed. */
  readonly ownEvaluations?: OwnEvaluations | undefined;
  /** Of the same: the newest commit that it released, by its own log. Undefined: the database is asked for the newest published one. */
  readonly newestReleased?: (() => Promise<Pick<ReleaseStatement, 'commit' | 'sequence'> | undefined>) | undefined;
  /** What is submitted without an evaluation is not taken: the server, which is to be believed for that, is not. */
  readonly refusesSubmissions?: boolean | undefined;
  /** Removes from the cache what nobody needs, until `signal` aborts: `confirm` throws once another builder may publish to it. Undefined: nobody does. */
  readonly keepCache?: ((confirm: () => Promise<void>, signal: AbortSignal) => Promise<void>) | undefined;
  /** Follows the branches `testing/<host>`. Undefined: there is nothing of them to end either. */
  readonly testing?: TestingDeps;
  /** The name of this server in leases; the same after a restart. */
  readonly owner: string;
}
