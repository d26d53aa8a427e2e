import { NOTHING_OBSERVED, type Observed, type StorePath } from '@floe/model';
import type { CacheTrust } from '@floe/nix';
import { AGENT_POLICY_FILE } from '@floe/protocol';
import type {
  CommandPlace,
  DownloadOptions,
  KeptPath,
  Machine,
  MachineBoot,
  MachineWatchdog,
  SwitchAction,
  SwitchOptions,
  SwitchOutcome,
  Unfinished,
} from '../machines/machine.ts';

/** A machine in memory. What it is told to do fails or waits as a test says. */
export class FakeMachine implements Machine {
  switchesOutliveAgent = false;
  canTry = true;
  /** The agent's policy in every system. */
  policyFile: string | undefined;
  observed: Observed = NOTHING_OBSERVED;
  healthChecks: string | undefined;
  free = 1e12;
  missing: number | undefined;
  units: readonly string[] | null = null;
  /** What a restarted agent finds; undefined: nothing watches over this machine. */
  unfinished: Unfinished | undefined;
  heldBy: string | null = null;
  /** How often it was asked who holds the lock. */
  looks = 0;
  trust: CacheTrust = 'trusted';
  /** What a system says that a switch would do. */
  dry: string | null = null;
  /** Null: a restart brings no other system. */
  boot: MachineBoot | null = null;
  /** What was done, in order. */
  readonly log: string[] = [];
  readonly valid = new Set<StorePath>();
  /** What limits the newest download had. */
  maxBytesPerSecond: number | undefined;
  readonly roots = new Map<KeptPath, { readonly path: StorePath; readonly since: number }>();
  /** By which roots are dated. */
  now: () => number = Date.now;
  /** Called before each download or switch; may throw or wait. */
  before: (what: string, signal: AbortSignal) => Promise<void> = async () => await Promise.resolve();
  /** How a switch ends; undefined: well. */
  outcomeOf: (path: StorePath, action: SwitchAction) => SwitchOutcome | undefined = () => undefined;

  async observe(): Promise<Observed> {
    return await Promise.resolve(this.observed);
  }

  async download(path: StorePath, options: DownloadOptions): Promise<void> {
    await this.#note(`${options.keptAs === 'ahead' ? 'stage' : 'download'} ${path}`, options.signal);
    this.maxBytesPerSecond = options.maxBytesPerSecond;
    options.onProgress({ donePaths: 1, totalPaths: 1, doneBytes: 5, totalBytes: 10 });
    this.valid.add(path);
    await this.keep(options.keptAs, path);
  }

  async isValid(path: StorePath): Promise<boolean> {
    return await Promise.resolve(this.valid.has(path));
  }

  async keep(as: KeptPath, path: StorePath): Promise<void> {
    this.roots.set(as, { path, since: this.now() });
    return await Promise.resolve();
  }

  async letGo(as: KeptPath): Promise<void> {
    this.roots.delete(as);
    return await Promise.resolve();
  }

  async kept(as: KeptPath): Promise<{ readonly path: StorePath; readonly since: number } | undefined> {
    return await Promise.resolve(this.roots.get(as));
  }

  async freeBytes(): Promise<number> {
    return await Promise.resolve(this.free);
  }

  async switchTo(path: StorePath, action: SwitchAction, { signal }: SwitchOptions): Promise<SwitchOutcome> {
    await this.#note(`${action} ${path}`, signal);
    const outcome = this.outcomeOf(path, action) ?? { kind: 'switched', note: null };
    if (outcome.kind === 'switched' && action === 'test') this.observed = { ...this.observed, current: path };
    return outcome;
  }

  get watchdog(): MachineWatchdog | null {
    const { unfinished } = this;
    if (unfinished === undefined) return null;
    return {
      arm: async () => await Promise.resolve(),
      claim: async (_activation, verdict) => await Promise.resolve(verdict),
      settled: async () => await Promise.resolve(),
      verdict: async () => await Promise.resolve(undefined),
      endTrialIn: async (_plan, ms) => void (await Promise.resolve(this.log.push(`end trial in ${ms}`))),
      disarm: async () => await Promise.resolve(),
      forget: async () => await Promise.resolve(),
      unfinished: async () => await Promise.resolve(unfinished),
    };
  }

  async missingBytes(): Promise<number | undefined> {
    return await Promise.resolve(this.missing);
  }

  async cacheTrust(): Promise<CacheTrust> {
    return await Promise.resolve(this.trust);
  }

  async bootBytesLacking(): Promise<number> {
    return await Promise.resolve(0);
  }

  async misfit(): Promise<null> {
    return await Promise.resolve(null);
  }

  async dryActivate(path: StorePath, signal: AbortSignal): Promise<string | null> {
    await this.#note(`dry-activate ${path}`, signal);
    return this.dry;
  }

  async switchHeldBy(): Promise<string | null> {
    this.looks += 1;
    return await Promise.resolve(this.heldBy);
  }

  async activationLog(): Promise<string> {
    return await Promise.resolve('');
  }

  async setProfile(path: StorePath): Promise<void> {
    this.log.push(`profile ${path}`);
    this.observed = { ...this.observed, profile: { generation: (this.observed.profile?.generation ?? 0) + 1, toplevel: path } };
    return await Promise.resolve();
  }

  async failedUnits(): Promise<readonly string[] | null> {
    return await Promise.resolve(this.units);
  }

  async readSystemFile(_path: StorePath, file: string): Promise<string | undefined> {
    return await Promise.resolve(file === AGENT_POLICY_FILE ? this.policyFile : this.healthChecks);
  }

  place(command: readonly [string, ...string[]]): CommandPlace {
    const [file, ...args] = command;
    return { file, args, env: { PATH: '/usr/bin:/bin' } };
  }

  async #note(what: string, signal: AbortSignal): Promise<void> {
    this.log.push(what);
    await this.before(what, signal);
  }
}
