import { chmod, mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { timeLimit, type AgentDetail, type Observed, type StorePath } from '@floe/model';
import type { Nix } from '@floe/nix';
import { FloeError, type Exec, type ExecResult } from '@floe/runtime';
import type { CommandPlace, Machine, SwitchAction, SwitchOptions, SwitchOutcome } from '../machine.ts';
import { lastWords } from '../../text/redact.ts';
import { StoreBacked } from '../store-backed.ts';
import { freeBytesAt } from '../free-space.ts';
import { observeProfile } from '../links.ts';
import { accountEnv, execAs, placeAs, type Account } from './account.ts';
import { assertShape, misfitOf, recogniseShape, type TargetKind } from '../shape.ts';
import { storeFilesBelow, type StoreFiles } from '../store-files.ts';

export interface TargetDeps {
  /** The folder that plays the machine; '' for the machine itself. */
  readonly root: string;
  /** Where the links are that keep store paths alive. */
  readonly roots: string;
  /** The agent's state folder. */
  readonly stateDir: string;
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  /** An activation that takes longer, in ms, is ended. */
  readonly switchLimitMs: number;
  /** Loaded when it is first needed: an idle agent has no use for it. */
  readonly nix: () => Promise<Nix>;
  /** The same Nix on the same store, whose programs are run by `exec` in `env`: as another user. */
  readonly nixAs: (how: { readonly exec: Exec; readonly env: NodeJS.ProcessEnv }) => Promise<Nix>;
}

/** One program of a closure; `file` is a path below it. */
export interface ActivationStep {
  readonly file: string;
  readonly args: readonly string[];
  /** null: as the agent itself. */
  readonly as: Account | null;
}

export type Activation =
  | { readonly kind: 'steps'; readonly steps: readonly ActivationStep[] }
  /** This closure cannot be activated here. */
  | { readonly kind: 'refused'; readonly detail: AgentDetail };

/** What differs between the targets. */
export interface TargetRules {
  readonly kind: Exclude<TargetKind, 'nixos'>;
  /** Whose profile it is, and who runs the commands that a closure names; null: the agent itself. */
  readonly account: Account | null;
  /** Folders of a closure in which its files are looked for, in this order; '' is the closure itself. */
  readonly folders: readonly string[];
  /** Where the profile's link is. */
  profile(): Promise<string>;
  /** What was activated last, where there is a record of it. Never throws. */
  activated(): Promise<StorePath | null>;
  /** The programs that activate a closure without setting the profile. */
  activation(path: StorePath, files: StoreFiles): Promise<Activation>;
  /** Called when `path` was activated or made the profile, for targets whose closures keep no record themselves. */
  remember?: (path: StorePath) => Promise<void>;
}

/** A machine, or a user's part of one, that is not NixOS: a profile and, before it is set, an activation. */
export class TargetMachine extends StoreBacked implements Machine {
  /** A restarted agent finds no result of an activation, and runs it again, which these activations allow. */
  readonly switchesOutliveAgent = false;
  readonly canTry = false;
  readonly watchdog = null;
  readonly boot = null;
  readonly #deps: TargetDeps;
  readonly #rules: TargetRules;
  readonly #files: StoreFiles;

  constructor(deps: TargetDeps, rules: TargetRules) {
    super(deps);
    this.#deps = deps;
    this.#rules = rules;
    this.#files = storeFilesBelow(deps.root);
  }

  async observe(): Promise<Observed> {
    const [current, profile] = await Promise.all([this.#rules.activated(), this.#rules.profile().then(observeProfile)]);
    // Without a record of an activation, the profile is what users have.
    const isProfileAll = this.#rules.kind !== 'darwin';
    return { current: current ?? (isProfileAll ? (profile?.toplevel ?? null) : null), booted: null, profile };
  }

  async freeBytes(): Promise<number> {
    return await freeBytesAt(this.#deps.root === '' ? '/nix/store' : this.#deps.root);
  }

  /** `test` activates without setting the profile; `boot` only checks that the profile is `path`. */
  async switchTo(path: StorePath, action: SwitchAction, { signal }: SwitchOptions): Promise<SwitchOutcome> {
    const misfit = await this.misfit(path);
    if (misfit !== null) return { kind: 'failed', detail: misfit };
    return action === 'test' ? await this.#activate(path, signal) : await this.#confirmProfile(path);
  }

  async misfit(path: StorePath): Promise<AgentDetail | null> {
    return await misfitOf(this.#rules.kind, this.#files, path);
  }

  async setProfile(path: StorePath): Promise<void> {
    await this.#assertShape(path);
    await this.#writeProfile(path);
    await this.#rules.remember?.(path);
  }

  async failedUnits(): Promise<null> {
    return await Promise.resolve(null);
  }

  async readSystemFile(path: StorePath, file: string): Promise<string | undefined> {
    for (const folder of this.#rules.folders) {
      const text = await this.#files.read(path, join(folder, file));
      if (text !== undefined) return text;
    }
    return undefined;
  }

  place(command: readonly [string, ...string[]]): CommandPlace {
    return this.#placeAs(this.#rules.account, command);
  }

  async #assertShape(path: StorePath): Promise<void> {
    assertShape(this.#rules.kind, await recogniseShape(this.#files, path));
  }

  async #activate(path: StorePath, signal: AbortSignal): Promise<SwitchOutcome> {
    const activation = await this.#rules.activation(path, this.#files);
    if (activation.kind === 'refused') return { kind: 'failed', detail: activation.detail };
    for (const step of activation.steps) {
      const outcome = describeActivation(step.file, await this.#run(path, step, signal), this.#deps.switchLimitMs);
      if (outcome.kind === 'failed') return outcome;
    }
    await this.#rules.remember?.(path);
    return SWITCHED;
  }

  async #run(path: StorePath, step: ActivationStep, signal: AbortSignal): Promise<ExecResult> {
    const { root, stateDir, platform, exec } = this.#deps;
    const lockFile = join(stateDir, 'activation.lock');
    await mkdir(stateDir, { recursive: true });
    // Who can read the file can hold the lock.
    await (await open(lockFile, 'a', 0o600)).close();
    await chmod(lockFile, 0o600);
    const uid = platform === 'darwin' && step.as !== null && !step.as.isOwn ? await this.#uidOf(step.as) : undefined;
    const { file, args, env } = this.#placeAs(step.as, [`${path}/${step.file}`, ...step.args], uid);
    // The activation of a killed agent goes on; the lock makes the next one wait for it.
    const [lock, ...lockArgs] = platform === 'darwin' ? (['lockf', '-k'] as const) : (['flock', '--close'] as const);
    return await exec(lock, [...lockArgs, lockFile, file, ...args], {
      env,
      cwd: root === '' ? '/' : root,
      signal,
      timeoutMs: this.#deps.switchLimitMs,
      beyondStdout: 'cut',
      keepsDaemons: true,
    });
  }

  async #uidOf(account: Account): Promise<string> {
    const result = await this.#deps.exec('id', ['-u', account.name], { env: this.#deps.env, timeoutMs: 30_000 });
    return result.stdout.trim();
  }

  /** After a restart only the profile counts: there is no boot loader to write. */
  async #confirmProfile(path: StorePath): Promise<SwitchOutcome> {
    const named = (await observeProfile(await this.#rules.profile()))?.toplevel ?? null;
    return named === path
      ? SWITCHED
      : failed('PROFILE_DIFFERS', `the profile ${await this.#rules.profile()} names ${named ?? 'nothing'}, not ${path}`);
  }

  async #writeProfile(path: StorePath): Promise<void> {
    const { account } = this.#rules;
    const profile = await this.#rules.profile();
    if (account === null || account.isOwn) {
      await (await this.#deps.nix()).setProfile(profile, path);
      return;
    }
    // Root writes nothing into a user's folders: what is a folder there may be a link tomorrow.
    const { exec, platform } = this.#deps;
    const env = accountEnv(account, this.#deps.env);
    const asUser = execAs(exec, account, { env, platform });
    const made = await asUser('mkdir', ['-p', dirname(profile)], { env, timeoutMs: 30_000 });
    if (made.exitCode !== 0) {
      throw new FloeError(
        'PROFILE_NOT_SET',
        `${account.name} cannot make the folder of the profile ${profile}: ${lastWords(made.stderr, MAX_WORDS)}`,
      );
    }
    await (await this.#deps.nixAs({ exec: asUser, env })).setProfile(profile, path);
  }

  #placeAs(account: Account | null, [file, ...args]: readonly [string, ...string[]], uid?: string): CommandPlace {
    const { root, platform } = this.#deps;
    const agentEnv = root === '' ? this.#deps.env : { ...this.#deps.env, NIXOS_ROOT: root };
    const located = root !== '' && file.startsWith('/nix/store/') ? `${root}${file}` : file;
    if (account === null) return { file: located, args, env: agentEnv };
    return placeAs(account, [located, ...args], { env: accountEnv(account, agentEnv), platform, uid });
  }
}

const SWITCHED: SwitchOutcome = { kind: 'switched', note: null };
/** How much of the end of a script's output is reported, in characters. */
const MAX_WORDS = 600;

/** Unlike NixOS's script, these fail with any status other than 0. */
function describeActivation(file: string, result: ExecResult, limitMs: number): SwitchOutcome {
  const words = lastWords(result.stderr.trim() || result.stdout, MAX_WORDS);
  const said = words === '' ? '' : `: ${words}`;
  if (result.end === 'timed-out') return failed('SWITCH_TIMED_OUT', `${file} did not end within ${timeLimit(limitMs)}${said}`);
  if (result.end !== 'exited') return failed('SWITCH_KILLED', `${file} was ended by ${result.signal ?? result.end}${said}`);
  return result.exitCode === 0 ? SWITCHED : failed('SWITCH_FAILED', `${file} failed with status ${result.exitCode}${said}`);
}

function failed(code: string, message: string): SwitchOutcome {
  return { kind: 'failed', detail: { code, message } };
}
