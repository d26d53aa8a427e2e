import type { AgentDetail, Observed, StorePath } from '@floe/model';
import type { DownloadProgress } from '@floe/nix';

/** What is done with a system by its own `switch-to-configuration`: run it now, or make it what is started next time. */
export type SwitchAction = 'test' | 'boot';

export type SwitchOutcome =
  /** `note`: it is on, but units failed; whether newly is for the one who asked to find out. */
  { readonly kind: 'switched'; readonly note: AgentDetail | null } | { readonly kind: 'failed'; readonly detail: AgentDetail };

/** What became of a switch that was under way when the agent was stopped. */
export type UnfinishedSwitch = { readonly kind: 'unknown' } | { readonly kind: 'ended'; readonly outcome: SwitchOutcome };

export interface DownloadOptions {
  readonly substituters: readonly string[];
  readonly trustedPublicKeys: readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: (progress: DownloadProgress) => void;
}

/** Store paths that the agent keeps from the garbage collector while it needs them. */
export type KeptPath = 'next' | 'before';

/** Where a command of a system runs. */
export interface CommandPlace {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** What the agent changes: the machine itself, or a folder that plays one. */
export interface Machine {
  /** True when a switch goes on while the agent is restarted, and its end can be read afterwards. */
  readonly switchesOutliveAgent: boolean;
  /** Reads back what is there. Never throws: what cannot be read is null. */
  observe(): Promise<Observed>;
  /** Downloads a closure and keeps it as 'next'. Throws FloeErrors of libs/nix. */
  download(path: StorePath, options: DownloadOptions): Promise<void>;
  isValid(path: StorePath): Promise<boolean>;
  keep(as: KeptPath, path: StorePath): Promise<void>;
  letGo(as: KeptPath): Promise<void>;
  /** Room left where the store is, in bytes. */
  freeBytes(): Promise<number>;
  /** Runs the system's own script and waits for its end; `signal` ends the waiting, and the script where it can't outlive the agent. */
  switchTo(path: StorePath, action: SwitchAction, signal: AbortSignal): Promise<SwitchOutcome>;
  /** Waits for the end of a `test` switch to `path` that an earlier run of the agent began. */
  unfinishedSwitch(path: StorePath, signal: AbortSignal): Promise<UnfinishedSwitch>;
  /** Makes `path` a new generation of the system profile. */
  setProfile(path: StorePath): Promise<void>;
  /** Names of the failed units; null where there is no systemd. */
  failedUnits(): Promise<readonly string[] | null>;
  /** A file of a system by its path below the toplevel; undefined when there is none. */
  readSystemFile(path: StorePath, file: string): Promise<string | undefined>;
  /** How a command that a system names is run here. */
  place(command: readonly [string, ...string[]]): CommandPlace;
}
