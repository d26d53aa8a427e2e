import type { AgentDetail, Observed, StorePath } from '@floe/model';
import type { CacheTrust, DownloadProgress } from '@floe/nix';

/** The code of a system that is not staged for a restart, because the machine would then have forgotten that it is. */
export const STATE_FORGETS = 'STATE_FORGETS';

/** What a system's own `switch-to-configuration` does: `test` runs it now, `boot` makes it the default of the boot loader. */
export type SwitchAction = 'test' | 'boot';

export type SwitchOutcome =
  /** `note`: the system runs, but units failed. The caller finds out which of them failed before. */
  { readonly kind: 'switched'; readonly note: AgentDetail | null } | { readonly kind: 'failed'; readonly detail: AgentDetail };

export interface SwitchOptions {
  /** Names the units and files of the switch. */
  readonly activation: number;
  /** The switch is a rollback: it has a unit of its own. */
  readonly isRollback?: boolean;
  /** Ends the waiting, and the script where that ends with the agent. */
  readonly signal: AbortSignal;
}

/** What a starting agent finds of the activation in its journal. */
export type Unfinished =
  /** Nothing is known: it did not begin, or the machine was restarted since. */
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'ended'; readonly outcome: SwitchOutcome }
  /** The verdict was on disk: the system works. */
  | { readonly kind: 'passed' }
  /** The watchdog has rolled back to the previous system. */
  | { readonly kind: 'watchdog-rolled-back' };

/** What the watchdog needs to roll an activation back without an agent. */
export interface ActivationPlan {
  readonly activation: number;
  /** The new system. */
  readonly toplevel: StorePath;
  /** The system to roll back to. */
  readonly before: StorePath;
  /** The profile's system before the activation, which the machine boots after a rollback. */
  readonly beforeProfile: StorePath;
  /** The new system is only tried: nothing commits it. */
  readonly isTrial: boolean;
  /** How long the switch may take, in ms. */
  readonly switchMs: number;
  /** How long the agent has from the end of the switch to its verdict, in ms. */
  readonly verdictMs: number;
  /** … and from the start of the machine, in ms. */
  readonly bootMs: number;
}

/** Rolls an activation back without the agent when no verdict comes in time. Only where there is systemd. */
export interface MachineWatchdog {
  /** Called before the first change, and again before a rollback. Throws when systemd does not start the timer. */
  arm(plan: ActivationPlan, options: { readonly isFirst: boolean }): Promise<void>;
  /** Writes the verdict unless there is one; returns the one that counts. 'undo': roll back. */
  claim(activation: number, verdict: 'passed' | 'undo'): Promise<'passed' | 'undo'>;
  /** The verdict on disk; undefined: none yet. */
  verdict(activation: number): Promise<'passed' | 'undo' | undefined>;
  /** Waits for the end of switches that the watchdog or an earlier run of the agent began. */
  settled(activation: number, signal: AbortSignal): Promise<void>;
  /** In `ms`, with or without an agent: ends the trial of an activation whose system passed, and was only tried. */
  endTrialIn(plan: ActivationPlan, ms: number): Promise<void>;
  /** Stops the watchdog: the verdict is on disk. */
  disarm(): Promise<void>;
  /** Removes all files of activations: the directive ended. */
  forget(): Promise<void>;
  /** Waits for the end of an activation that an earlier run of the agent began; returns its result. */
  unfinished(activation: number, path: StorePath, signal: AbortSignal): Promise<Unfinished>;
}

/** A machine that can be restarted into another system. */
export interface MachineBoot {
  /** Stages `plan.toplevel` for the next start, with the boot guard; returns how. */
  stage(plan: ActivationPlan, signal: AbortSignal): Promise<SwitchOutcome & { readonly how?: 'one-shot' | 'guarded' }>;
  /** Reverts what {@link stage} wrote to the boot loader. */
  unstage(activation: number): Promise<void>;
  /** Whether the machine was restarted since, and whether the boot guard went back to the previous system. */
  boots(activation: number): Promise<{ readonly isNewBoot: boolean; readonly fellBack: boolean }>;
  reboot(): Promise<void>;
  /** Restarts the machine into the previous system, where a switch cannot get there; once per activation. False: done before. */
  rebootBack(activation: number): Promise<boolean>;
  /** Whether a system has the boot guard's unit. */
  hasGuard(path: StorePath): Promise<boolean>;
}

export interface DownloadOptions {
  readonly keptAs: KeptPath;
  readonly substituters: readonly string[];
  readonly trustedPublicKeys: readonly string[];
  /** The size of the whole closure in bytes: no more is written. */
  readonly maxBytes: number;
  /** Undefined: no limit. */
  readonly maxBytesPerSecond: number | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: DownloadProgress) => void;
}

/** Store paths that the agent protects from the garbage collector. */
export type KeptPath = 'next' | 'before' | 'ahead';

/** How a command of a system is run. */
export interface CommandPlace {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** What the agent changes: the machine itself, or a folder that plays one. */
export interface Machine {
  /** True: a switch goes on while the agent restarts, and its result can be read afterwards. */
  readonly switchesOutliveAgent: boolean;
  /** A system can be switched to without being what the machine starts next, so that a restart alone brings the old one back. */
  readonly canTry: boolean;
  /** Reads which systems run, were booted, and are in the profile. Never throws: what cannot be read is null. */
  observe(): Promise<Observed>;
  /** Downloads a closure and keeps it. Throws FloeErrors of libs/nix. */
  download(path: StorePath, options: DownloadOptions): Promise<void>;
  isValid(path: StorePath): Promise<boolean>;
  /** What the closure of `path` still needs in the store, in bytes; undefined when no cache says. */
  missingBytes(path: StorePath, options: Pick<DownloadOptions, 'substituters' | 'signal'>): Promise<number | undefined>;
  /** Whether a download of `path` by these settings would be possible. */
  cacheTrust(path: StorePath, settings: Pick<DownloadOptions, 'substituters' | 'trustedPublicKeys' | 'signal'>): Promise<CacheTrust>;
  keep(as: KeptPath, path: StorePath): Promise<void>;
  letGo(as: KeptPath): Promise<void>;
  /** What is kept, and since when, by the machine's clock in ms; undefined: nothing. Never throws. */
  kept(as: KeptPath): Promise<{ readonly path: StorePath; readonly since: number } | undefined>;
  /** Free space for the store, in bytes. */
  freeBytes(): Promise<number>;
  /** How much space the boot partition lacks for `path`, in bytes; 0 or less: none, or there is no boot partition. */
  bootBytesLacking(path: StorePath): Promise<number>;
  /** Runs the system's own script and waits for its end. */
  switchTo(path: StorePath, action: SwitchAction, options: SwitchOptions): Promise<SwitchOutcome>;
  /** Null where no process outlives the agent. */
  readonly watchdog: MachineWatchdog | null;
  /** Null where a restart cannot change the system. */
  readonly boot: MachineBoot | null;
  /** Why this machine cannot run `path`, by the files in it; null: it can. */
  misfit(path: StorePath): Promise<AgentDetail | null>;
  /** The output of `path`'s own script about what a switch would do; null when it cannot be run. */
  dryActivate(path: StorePath, signal: AbortSignal): Promise<string | null>;
  /** Who holds the lock of switches; null: nobody. */
  switchHeldBy(): Promise<string | null>;
  /** The end of the log of an activation; '' when there is none. */
  activationLog(activation: number): Promise<string>;
  /** Makes `path` a new generation of the system profile. */
  setProfile(path: StorePath): Promise<void>;
  /** Names of the failed units; null where there is no systemd. */
  failedUnits(): Promise<readonly string[] | null>;
  /** A file of a system by its path below the toplevel; undefined when there is none. */
  readSystemFile(path: StorePath, file: string): Promise<string | undefined>;
  /** How a command that a system names is run here. */
  place(command: readonly [string, ...string[]]): CommandPlace;
}
