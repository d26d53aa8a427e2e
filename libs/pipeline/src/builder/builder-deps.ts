import type { FetchProgress, GitMirror } from '@floe/git';
import type { Sandbox } from '@floe/nix';
import type { Clock, Exec, Logger } from '@floe/runtime';
import type { BuildersNotices, PlainStore } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import type { StatementLog } from '../statements/statement-log.ts';
import type { BuilderConfig } from './builder-config.ts';
import type { KeyFiles } from './builder-keys.ts';
import type { CacheKeeperDeps } from './cache-keeper.ts';

/** Who is told how far a builder is, and what names policies may use. */
export interface Watching extends Pick<PipelineDeps, 'notifyTargets' | 'probes'> {
  readonly fetches: {
    noteProgress(progress: FetchProgress): void;
    /** The mirror, with its fetches watched. */
    watching(mirror: GitMirror): GitMirror;
  };
  /** The repository's default branch is another one than the one that is followed without a setting; undefined: it is not. */
  readonly onOtherDefault: (notice: string | undefined) => void;
  /** Tidies the cache while this builder works, by these limits. */
  readonly cacheKeeping: Pick<CacheKeeperDeps, 'limits' | 'troubles' | 'onTooLarge'>;
  /** No builder works, where it is a process of its own; undefined: one does. */
  readonly onSilence: (notice: string | undefined) => void;
  /** What builders that are processes of their own have to tell. */
  readonly onBuilderNotices: (notices: readonly BuildersNotices[]) => void;
}

export interface BuilderDeps {
  readonly config: BuilderConfig;
  readonly store: PlainStore;
  readonly statements: StatementLog;
  readonly sandbox: Sandbox;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  /** It is a process of its own, and believes a server no more than the setting says; undefined: it is inside the server. */
  readonly apart?: { readonly refusesSubmissions: boolean; readonly keyFiles: KeyFiles } | undefined;
  /** Starts all programs. */
  readonly exec: Exec;
  /** What Nix is run with. */
  readonly env: NodeJS.ProcessEnv;
}
