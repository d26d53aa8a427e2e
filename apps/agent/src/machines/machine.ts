import type { AgentDetail, Observed, StorePath } from '@floe/model';
import type { CacheTrust, DownloadProgress } from '@floe/nix';

/** What is done with a system by its own `switch-to-configuration`: run it now, or make it what is started next time. */
export type SwitchAction = 'test' | 'boot';

export type SwitchOutcome =
  /** `note`: it is on, but units failed; whether newly is for the one who asked to find out. */
  { readonly kind: 'switched'; readonly note: AgentDetail | null } | { readonly kind: 'failed'; readonly detail: AgentDetail };

export interface SwitchOptions {
  /** Names the units and files of the switch. */
  readonly activation: number;
  /** It is the way back: a switch of its own, although to the same kind of end. */
  readonly isRollback?: boolean;
  /** Ends the waiting, and the script where it can't outlive the agent. */
  readonly signal: AbortSignal;
}

/** What an agent that starts finds of the activation that its journal tells of. */
export type Unfinished =
  /** Nothing is known: it was never begun, or the machine was started since. */
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'ended'; readonly outcome: SwitchOutcome }
  /** It had been found to work, and that was written down. */
  | { readonly kind: 'passed' }
  /** The watchdog put the system before back. */
  | { readonly kind: 'watchdog-rolled-back' };

/** An activation that is watched over, and what is needed to put the machine back without an agent. */
export interface ActivationPlan {
  readonly activation: number;
  /** The new system. */
  readonly toplevel: StorePath;
  /** The system to go back to. */
  readonly before: StorePath;
  /** What the profile named before, and the machine starts after going back. */
  readonly beforeProfile: StorePath;
  /** How long the switch may take, in ms. */
  readonly switchMs: number;
  /** How long the agent has from the end of the switch to its verdict, in ms. */
  readonly verdictMs: number;
  /** … and from the start of the machine, in ms. */
  readonly bootMs: number;
}

/** What watches over an activation, and puts the machine back without the agent. Only where there is systemd. */
export interface MachineWatchdog {
  /** Armed before the first change, and anew for the way back. Throws when it cannot be. */
  arm(plan: ActivationPlan, options: { readonly isFirst: boolean }): Promise<void>;
  /** Says that the new system works, or that it is to be undone; returns whose word stands. */
  claim(activation: number, verdict: 'passed' | 'undo'): Promise<'passed' | 'undo'>;
  /** The verdict that stands; undefined: none yet. */
  verdict(activation: number): Promise<'passed' | 'undo' | undefined>;
  /** Waits until no switch runs that the watchdog, or an earlier run of the agent, began. */
  settled(activation: number, signal: AbortSignal): Promise<void>;
  /** The verdict is in: nothing is left to watch. */
  disarm(): Promise<void>;
  /** The directive ended: nothing of the activation stays. */
  forget(): Promise<void>;
  /** What an activation that the agent did not see the end of came to, waiting for its end. */
  unfinished(activation: number, path: StorePath, signal: AbortSignal): Promise<Unfinished>;
}

/** A machine that can be restarted into another system. */
export interface MachineBoot {
  /** Makes `plan.toplevel` the system of the next start, guarded. Says how. */
  stage(plan: ActivationPlan, signal: AbortSignal): Promise<SwitchOutcome & { readonly how?: 'one-shot' | 'guarded' }>;
  /** Takes back what {@link stage} told the boot loader. */
  unstage(activation: number): Promise<void>;
  /** Whether the machine was started since, and whether its guard gave the new system up. */
  boots(activation: number): Promise<{ readonly isNewBoot: boolean; readonly fellBack: boolean }>;
  reboot(): Promise<void>;
  /** Leaves a system that no switch leads away from by a restart: once per activation. False: that was tried before. */
  rebootBack(activation: number): Promise<boolean>;
  /** Whether a system has the unit that would take it back if it did not work after a start. */
  hasGuard(path: StorePath): Promise<boolean>;
}

export interface DownloadOptions {
  readonly substituters: readonly string[];
  readonly trustedPublicKeys: readonly string[];
  /** What the whole closure has, in bytes: no more is written. */
  readonly maxBytes: number;
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
  /** What the closure of `path` still needs in the store, in bytes; undefined when no cache says. */
  missingBytes(path: StorePath, options: Pick<DownloadOptions, 'substituters' | 'signal'>): Promise<number | undefined>;
  /** Whether a download of `path` by these settings would be possible. */
  cacheTrust(path: StorePath, settings: Pick<DownloadOptions, 'substituters' | 'trustedPublicKeys' | 'signal'>): Promise<CacheTrust>;
  keep(as: KeptPath, path: StorePath): Promise<void>;
  letGo(as: KeptPath): Promise<void>;
  /** Room left where the store is, in bytes. */
  freeBytes(): Promise<number>;
  /** What the boot loader's disk lacks for `path`, in bytes; 0 or less: it has room, or is none of its own. */
  bootBytesLacking(path: StorePath): Promise<number>;
  /** Runs the system's own script and waits for its end. */
  switchTo(path: StorePath, action: SwitchAction, options: SwitchOptions): Promise<SwitchOutcome>;
  /** Null where nothing outlives the agent. */
  readonly watchdog: MachineWatchdog | null;
  /** Null where a restart brings no other system. */
  readonly boot: MachineBoot | null;
  /** Why `path` is nothing that this machine could run, by its shape; null: it is. */
  misfit(path: StorePath): Promise<AgentDetail | null>;
  /** What `path`'s own script says that a switch would do; null when it cannot be asked. */
  dryActivate(path: StorePath, signal: AbortSignal): Promise<string | null>;
  /** Who keeps a switch from being begun, e.g. another one; null: nobody. */
  switchHeldBy(): Promise<string | null>;
  /** The last words of what an activation ran, for people; '' when there are none. */
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
