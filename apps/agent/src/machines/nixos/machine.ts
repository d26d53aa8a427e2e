import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentDetail, Observed, StorePath } from '@floe/model';
import type { Nix } from '@floe/nix';
import { FloeError, type Clock, type Exec, type Logger } from '@floe/runtime';
import {
  STATE_FORGETS,
  type CommandPlace,
  type ActivationPlan,
  type KeptPath,
  type Machine,
  type MachineBoot,
  type MachineWatchdog,
  type SwitchAction,
  type SwitchOptions,
  type SwitchOutcome,
  type Unfinished,
} from '../machine.ts';
import { StoreBacked } from '../store-backed.ts';
import { describeSwitch } from '../switch-outcome.ts';
import { isInMemory } from '../in-memory.ts';
import { freeBytesAt } from '../free-space.ts';
import { observeLinks } from '../links.ts';
import { misfitOf } from '../shape.ts';
import { readBelow, storeFilesBelow } from '../store-files.ts';
import { bootBytesLacking } from './boot-space.ts';
import { ActivationWatchdog } from './watchdog.ts';
import { bootEntryOf, clearOneShot, setOneShot } from './one-shot.ts';
import {
  AFTER_SWITCH_SCRIPT,
  GUARD_UNIT_FILE,
  REBOOT,
  REBOOTED_BACK,
  SYSTEM_PROFILE,
  switchUnits,
  postSwitchWatchdogUnit,
  trialUnit,
  watchdogUnit,
} from './scripts.ts';
import { SwitchLock } from './switch-lock.ts';
import { SYSTEMD_ANSWERS_MS, switchUnit, type SwitchUnit } from './switch-unit.ts';
import { failedUnits, killStuckUnits, runningJobs } from './units.ts';

/** Limit of a dry activation. */
const DRY_ACTIVATE_SECONDS = 120;

export interface NixosMachineDeps {
  readonly stateDir: string;
  /** Where the links are that keep store paths alive. */
  readonly roots: string;
  readonly exec: Exec;
  /** Loaded when it is first needed: an idle agent has no use for it. */
  readonly nix: () => Promise<Nix>;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Limit of a switch, in ms. */
  readonly switchLimitMs: number;
  /** Mount point of the boot partition, if there is one. */
  readonly bootMountPoint: string;
  /** Whether what is at a path is lost with the next start. */
  readonly isInMemory?: (path: string) => Promise<boolean>;
}

/** The next start would neither find the boot guard nor know that the system is to be tried. */
const FORGETS: AgentDetail = {
  code: STATE_FORGETS,
  message:
    'the system needs a restart, but this machine forgets the state folder of floe-agent at each start, and with it the boot guard that would roll it back: keep that folder (docs/agent.md, "Machines that forget")',
};

/** The NixOS machine that the agent runs on, as root. */
export class NixosMachine extends StoreBacked implements Machine {
  readonly switchesOutliveAgent = true;
  readonly canTry = true;
  readonly watchdog: MachineWatchdog;
  readonly boot: MachineBoot;
  readonly #deps: NixosMachineDeps;
  readonly #watchdog: ActivationWatchdog;
  readonly #lock: SwitchLock;

  constructor(deps: NixosMachineDeps) {
    super(deps);
    this.#deps = deps;
    this.#watchdog = new ActivationWatchdog(deps);
    this.#lock = new SwitchLock({ ...deps, limitMs: deps.switchLimitMs });
    this.watchdog = {
      arm: async (plan, options) => await this.#watchdog.arm(plan, { ...options, running: await this.#running() }),
      claim: async (activation, verdict) => await this.#watchdog.claim(activation, verdict),
      settled: async (_activation, signal) => await this.#watchdog.settled(signal),
      verdict: async (activation) => await this.#watchdog.verdict(activation),
      endTrialIn: async (plan, ms) => await this.#watchdog.endTrialIn(plan, ms),
      disarm: async () => await this.#watchdog.disarm(),
      forget: async () => await this.#watchdog.forget(),
      unfinished: async (activation, path, signal) => await this.#unfinished(activation, path, signal),
    };
    this.boot = {
      stage: async (plan, signal) => await this.#stage(plan, signal),
      unstage: async (activation) => await clearOneShot(deps, await this.#watchdog.mayHaveOneShot(activation)),
      boots: async (activation) => await this.#watchdog.boots(activation),
      reboot: async () => await this.#reboot(),
      rebootBack: async (activation) => {
        const folder = this.#watchdog.folder(activation);
        if (await folder.has(REBOOTED_BACK)) return false;
        await folder.write(REBOOTED_BACK, '');
        await this.#reboot();
        return true;
      },
      hasGuard: async (path) => (await this.readSystemFile(path, GUARD_UNIT_FILE)) !== undefined,
    };
  }

  async #reboot(): Promise<void> {
    const { exec, env } = this.#deps;
    const result = await exec('/bin/sh', ['-c', REBOOT], { env, timeoutMs: 60_000 });
    if (result.exitCode !== 0) throw new FloeError('REBOOT_FAILED', `systemd did not restart the machine: ${result.stderr.trim().slice(-300)}`);
  }

  /** A specialisation counts as the system that it belongs to. */
  async observe(): Promise<Observed> {
    const observed = await observeLinks('');
    const { current, profile, booted } = observed;
    if (current === null) return observed;
    const candidates = [profile?.toplevel, await this.#kept('next'), await this.#kept('before'), booted];
    for (const path of new Set(candidates)) {
      if (path != null && path !== current && (await specialisationOf(path, current)) !== undefined) return { ...observed, current: path };
    }
    return observed;
  }

  async freeBytes(): Promise<number> {
    return await freeBytesAt('/nix/store');
  }

  async switchTo(path: StorePath, action: SwitchAction, options: SwitchOptions): Promise<SwitchOutcome> {
    const { switchLimitMs } = this.#deps;
    const unit = this.#switchUnit(options.activation, action, options.isRollback ?? false);
    const { activation, signal, isRollback } = options;
    const system =
      action === 'boot' ? path : ((isRollback === true ? await this.#asItRan(path, activation) : undefined) ?? (await this.#asItRuns(path)));
    const script = `${system}/bin/switch-to-configuration`;
    const afterwards =
      action === 'test' && isRollback !== true ? { afterwards: this.#watchdog.folder(options.activation).file(AFTER_SWITCH_SCRIPT) } : {};
    await this.#lock.close();
    const result = await unit.run([script, action], { limitMs: switchLimitMs, signal, ...afterwards });
    const outcome = describeSwitch(action, result);
    if (result.end !== 'timed-out' || outcome.kind !== 'failed') return outcome;
    const jobs = await runningJobs(this.#deps);
    await killStuckUnits(this.#deps, jobs);
    const where = jobs.map(({ unit: name, kind }) => `the ${kind} of ${name}`).join(', ');
    const { code, message } = outcome.detail;
    return { kind: 'failed', detail: { code, message: where === '' ? message : `it hung at ${where}; ${message}` } };
  }

  /** A machine that runs a specialisation switches to the same one of the new system, if that has it. */
  async #asItRuns(path: StorePath): Promise<string> {
    const current = await this.#running();
    const parent = (await this.observe()).current;
    if (current === null || parent === null || parent === current) return path;
    const name = await specialisationOf(parent, current);
    if (name === undefined) return path;
    const same = `${path}/specialisation/${name}`;
    return (await readlink(same).catch(() => undefined)) === undefined ? path : same;
  }

  /** The specialisation of `path` that ran before the activation; undefined: none. The new system may lack it. */
  async #asItRan(path: StorePath, activation: number): Promise<StorePath | undefined> {
    const ran = await this.#watchdog.ranBefore(activation);
    return ran !== undefined && (await specialisationOf(path, ran)) !== undefined ? ran : undefined;
  }

  /** The running system itself, perhaps a specialisation. */
  async #running(): Promise<StorePath | null> {
    return (await observeLinks('')).current;
  }

  async #unfinished(activation: number, path: StorePath, signal: AbortSignal): Promise<Unfinished> {
    const folder = this.#watchdog.folder(activation);
    const verdict = await folder.verdict();
    if (verdict === 'passed') return { kind: 'passed' };
    if ((await this.#watchdog.boots(activation)).isNewBoot) return { kind: 'interrupted' };
    if (verdict === 'undo') {
      await this.#watchdog.settled(signal);
      return { kind: 'watchdog-rolled-back' };
    }
    const result = await this.#switchUnit(activation, 'test', false).result(signal);
    // The watchdog may have ended it.
    if ((await folder.verdict()) === 'undo') return await this.#unfinished(activation, path, signal);
    return result === undefined ? { kind: 'interrupted' } : { kind: 'ended', outcome: describeSwitch('test', result) };
  }

  async #stage(plan: ActivationPlan, signal: AbortSignal): Promise<SwitchOutcome & { readonly how?: 'one-shot' | 'guarded' }> {
    const { activation, toplevel, beforeProfile } = plan;
    await this.#watchdog.guardBoot(plan, await this.#running());
    // With a one-time entry the previous system stays the default, so that the boot loader goes back to it by itself.
    if ((await bootEntryOf(this.#deps, beforeProfile)) !== undefined) {
      // `switch-to-configuration boot` writes entries for all generations of the profile.
      for (const path of [toplevel, beforeProfile]) await this.setProfile(path);
      const written = await this.switchTo(beforeProfile, 'boot', { activation, isRollback: true, signal });
      if (written.kind === 'failed') return written;
      const entry = await bootEntryOf(this.#deps, toplevel);
      if (entry !== undefined) {
        await this.#watchdog.noteOneShot(activation, true);
        if (await setOneShot(this.#deps, entry)) return { ...written, how: 'one-shot' };
        await this.#watchdog.noteOneShot(activation, false);
      }
    }
    const { stateDir, isInMemory: forgets = isInMemory } = this.#deps;
    if (await forgets(stateDir)) return { kind: 'failed', detail: FORGETS };
    await this.setProfile(toplevel);
    return { ...(await this.switchTo(toplevel, 'boot', { activation, signal })), how: 'guarded' };
  }

  async setProfile(path: StorePath): Promise<void> {
    await (await this.#deps.nix()).setProfile(SYSTEM_PROFILE, path);
  }

  async failedUnits(): Promise<readonly string[] | null> {
    return await failedUnits(this.#deps);
  }

  async misfit(path: StorePath): Promise<AgentDetail | null> {
    return await misfitOf('nixos', storeFilesBelow(''), path);
  }

  override async dryActivate(path: StorePath, signal: AbortSignal): Promise<string | null> {
    const { exec, env } = this.#deps;
    const limits = ['--service-type=exec', `--property=RuntimeMaxSec=${DRY_ACTIVATE_SECONDS}`];
    const command = [`${path}/bin/switch-to-configuration`, 'dry-activate'];
    await this.#lock.close();
    // In a unit of its own, like the switch itself: the agent's unit is restricted.
    const result = await exec('systemd-run', ['--quiet', '--collect', '--wait', '--pipe', '--no-ask-password', ...limits, '--', ...command], {
      env,
      signal,
      timeoutMs: 1000 * DRY_ACTIVATE_SECONDS + SYSTEMD_ANSWERS_MS,
      beyondStdout: 'cut',
    });
    return result.exitCode === 0 ? `${result.stdout}\n${result.stderr}` : null;
  }

  override async bootBytesLacking(path: StorePath): Promise<number> {
    const { booted } = await this.observe();
    return await bootBytesLacking({ mountPoint: this.#deps.bootMountPoint, next: path, booted });
  }

  override async switchHeldBy(): Promise<string | null> {
    return await this.#lock.heldBy();
  }

  override async activationLog(activation: number): Promise<string> {
    const { exec, env } = this.#deps;
    const units = [
      switchUnits(activation),
      `${watchdogUnit(activation)}.service`,
      `${postSwitchWatchdogUnit(activation)}.service`,
      `${trialUnit(activation)}.service`,
    ].map((unit) => `--unit=${unit}`);
    const log = await exec('journalctl', ['--output=short-iso', '--no-pager', '--quiet', '--lines=150', ...units], { env, timeoutMs: 30_000 });
    return log.stdout;
  }

  async readSystemFile(path: StorePath, file: string): Promise<string | undefined> {
    return await readBelow('', `${path}/${file}`);
  }

  place(command: readonly [string, ...string[]]): CommandPlace {
    const [file, ...args] = command;
    return { file, args, env: this.#deps.env };
  }

  #switchUnit(activation: number, action: SwitchAction, isRollback: boolean): SwitchUnit {
    return switchUnit(this.#deps, this.#watchdog.folder(activation), `floe-switch-${activation}-${isRollback ? 'back-' : ''}${action}`);
  }

  async #kept(as: KeptPath): Promise<StorePath | null> {
    return ((await readlink(this.rootOf(as)).catch(() => undefined)) as StorePath | undefined) ?? null;
  }
}

/** The name of `path`'s specialisation that is `system`; undefined when it is none of them. */
async function specialisationOf(path: StorePath, system: StorePath): Promise<string | undefined> {
  const folder = `${path}/specialisation`;
  for (const name of await readdir(folder).catch(() => [])) {
    if ((await readlink(join(folder, name)).catch(() => undefined)) === system) return name;
  }
  return undefined;
}
