import { readFile, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import type { StorePath } from '@floe/model';
import { FloeError, readFileIfPresent, writeFileDurably, type Exec } from '@floe/runtime';
import type { ActivationPlan } from '../machine.ts';
import { activationFolder, removeActivations, type ActivationFolder, type Verdict } from './activation-folder.ts';
import {
  AFTER_SWITCH_SCRIPT,
  afterSwitchScript,
  BOOT_ID,
  FELL_BACK,
  GUARD_SCRIPT,
  HOLD_SCRIPT,
  TRIAL_SCRIPT,
  ONE_SHOT,
  RAN_BEFORE,
  REBOOTED_BACK,
  TRIES,
  UNDONE,
  guardScript,
  holdScript,
  holdUnit,
  WATCHDOG_SCRIPT,
  trialScript,
  trialUnit,
  watchdogScript,
  postSwitchWatchdogUnit,
  rollbackLimitSeconds,
  watchdogUnit,
} from './scripts.ts';

const POLL_MS = 100;

export interface WatchdogDeps {
  readonly stateDir: string;
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
}

/** The watchdog and the boot guard: systemd units outside of the agent, with scripts that need no agent. */
export class ActivationWatchdog {
  readonly #deps: WatchdogDeps;

  constructor(deps: WatchdogDeps) {
    this.#deps = deps;
  }

  folder(activation: number): ActivationFolder {
    return activationFolder(join(this.#deps.stateDir, 'activation'), activation);
  }

  /** Starts a systemd timer that rolls back at the deadline, with or without an agent. Throws `WATCHDOG_NOT_ARMED`. */
  async arm(
    plan: ActivationPlan,
    {
      isFirst,
      running,
    }: { readonly isFirst: boolean; /** The running system itself, perhaps a specialisation. */ readonly running: StorePath | null },
  ): Promise<void> {
    const folder = this.folder(plan.activation);
    if (isFirst) {
      await this.#begin(folder, running);
      // The boot in which the activation began: a rollback compares it to find out whether there was a restart.
      await folder.write(BOOT_ID, await bootId());
    }
    await folder.write(WATCHDOG_SCRIPT, watchdogScript(plan, folder.dir));
    await folder.write(AFTER_SWITCH_SCRIPT, afterSwitchScript(plan, folder.dir));
    await this.#stopTimers();
    await this.#runIn(plan, plan.switchMs + plan.verdictMs, { unit: watchdogUnit(plan.activation), script: folder.file(WATCHDOG_SCRIPT) });
    await this.#hold(plan, folder);
  }

  /** Closing a lid, or a user who shuts down, must not cut the change in half. The watchdog is there where this does not succeed. */
  async #hold(plan: ActivationPlan, folder: ActivationFolder): Promise<void> {
    const { exec, env } = this.#deps;
    await folder.write(HOLD_SCRIPT, holdScript(plan, folder.dir));
    const options = ['--quiet', '--collect', '--no-ask-password', `--unit=${holdUnit(plan.activation)}`];
    await exec('systemd-run', [...options, '--', '/bin/sh', folder.file(HOLD_SCRIPT)], { env, timeoutMs: 60_000 });
  }

  async #letGo(): Promise<void> {
    const { exec, env } = this.#deps;
    await exec('systemctl', ['stop', `${holdUnit('*')}.service`], { env, timeoutMs: 60_000 });
  }

  /** Replaces the timer of the same trial. Throws `WATCHDOG_NOT_ARMED`. */
  async endTrialIn(plan: ActivationPlan, ms: number): Promise<void> {
    const folder = this.folder(plan.activation);
    await folder.write(TRIAL_SCRIPT, trialScript(plan, folder.dir));
    const unit = trialUnit(plan.activation);
    const { exec, env } = this.#deps;
    await exec('systemctl', ['stop', `${unit}.timer`], { env, timeoutMs: 60_000 });
    await this.#runIn(plan, ms, { unit, script: folder.file(TRIAL_SCRIPT) });
  }

  async #runIn(plan: ActivationPlan, ms: number, { unit, script }: { readonly unit: string; readonly script: string }): Promise<void> {
    const { exec, env } = this.#deps;
    const armed = await exec(
      'systemd-run',
      [
        '--quiet',
        '--collect',
        '--no-ask-password',
        `--unit=${unit}`,
        `--on-active=${Math.ceil(ms / 1000)}`,
        '--timer-property=AccuracySec=1s',
        '--property=Type=oneshot',
        `--property=TimeoutStartSec=${rollbackLimitSeconds(plan)}`,
        '--',
        '/bin/sh',
        script,
      ],
      { env, timeoutMs: 60_000 },
    );
    if (armed.exitCode !== 0)
      throw new FloeError('WATCHDOG_NOT_ARMED', `systemd did not start the watchdog's timer: ${armed.stderr.trim().slice(-300)}`, {
        retryable: true,
      });
  }

  /**
   * Installs the boot guard for the next start. When the same system is staged again, the old guard stays until the new one is
   * in place: the system may be the boot loader's default already.
   */
  async guardBoot(plan: ActivationPlan, running: StorePath | null): Promise<void> {
    const folder = this.folder(plan.activation);
    const guard = `exec /bin/sh ${folder.file(GUARD_SCRIPT)}\n`;
    const isGuarded = (await readFileIfPresent(this.#bootGuard)) === guard && (await this.#isOf(folder, plan));
    if (!isGuarded) await this.#begin(folder, running);
    await folder.write(GUARD_SCRIPT, guardScript(plan, folder.dir));
    await folder.write(BOOT_ID, await bootId());
    await this.#stopTimers();
    if (isGuarded) await folder.removeAll([TRIES, UNDONE, FELL_BACK, REBOOTED_BACK]);
    else await writeFileDurably(this.#bootGuard, guard);
  }

  /** Whether the folder belongs to this change and has no verdict. Numbers repeat after a journal was lost. */
  async #isOf(folder: ActivationFolder, { toplevel, before }: ActivationPlan): Promise<boolean> {
    const script = await folder.read(GUARD_SCRIPT);
    return script?.includes(`\ntarget=${toplevel}\nbefore=${before}\n`) === true && (await folder.verdict()) === undefined;
  }

  /** Whether the machine was restarted since the activation began, and whether the boot guard went back. */
  async boots(activation: number): Promise<{ readonly isNewBoot: boolean; readonly fellBack: boolean }> {
    const folder = this.folder(activation);
    const then = (await folder.read(BOOT_ID))?.trim();
    return { isNewBoot: then !== undefined && then !== (await bootId()), fellBack: await folder.has(FELL_BACK) };
  }

  /** Noted before a one-time boot entry is set, and cleared when that failed: only an entry that may exist must be removed. */
  async noteOneShot(activation: number, isSet: boolean): Promise<void> {
    const folder = this.folder(activation);
    await (isSet ? folder.write(ONE_SHOT, '') : folder.removeAll([ONE_SHOT]));
  }

  async mayHaveOneShot(activation: number): Promise<boolean> {
    return await this.folder(activation).has(ONE_SHOT);
  }

  async verdict(activation: number): Promise<Verdict | undefined> {
    return await this.folder(activation).verdict();
  }

  async claim(activation: number, verdict: Verdict): Promise<Verdict> {
    const claimed = await this.folder(activation).claim(verdict);
    // A rollback is a change, too: it is over when the watchdog is disarmed.
    if (claimed === 'passed') await this.#letGo();
    return claimed;
  }

  /** Waits for the end of switches that the watchdog or an earlier run of the agent began. */
  async settled(signal: AbortSignal): Promise<void> {
    const { exec, env } = this.#deps;
    const units = ['floe-watchdog-*.service', 'floe-verdict-*.service', 'floe-trial-*.service', 'floe-switch-*.service'];
    const states = '--state=activating,active,deactivating,reloading';
    for (;;) {
      const shown = await exec('systemctl', ['list-units', states, '--plain', '--no-legend', '--no-pager', ...units], { env, timeoutMs: 30_000 });
      // No answer from systemd proves nothing: ask again.
      if (shown.exitCode === 0 && shown.stdout.trim() === '') return;
      await delay(POLL_MS, undefined, { signal });
    }
  }

  /** Stops watchdog and boot guard: the verdict is on disk. */
  async disarm(): Promise<void> {
    await this.#stopTimers();
    await rm(this.#bootGuard, { force: true });
  }

  /** Of all activations: a late timer must not roll back in the middle of the next one. */
  async #stopTimers(): Promise<void> {
    const { exec, env } = this.#deps;
    const units = [postSwitchWatchdogUnit('*'), watchdogUnit('*'), trialUnit('*')].flatMap((name) => [`${name}.timer`, `${name}.service`]);
    await exec('systemctl', ['stop', ...units, `${holdUnit('*')}.service`], { env, timeoutMs: 60_000 });
  }

  /** Removes all files of activations: the directive ended. */
  async forget(): Promise<void> {
    await this.#stopTimers();
    await rm(this.#bootGuard, { force: true });
    await removeActivations(join(this.#deps.stateDir, 'activation'));
  }

  /** The system that ran when the activation began, perhaps a specialisation. */
  async ranBefore(activation: number): Promise<StorePath | undefined> {
    return (await this.folder(activation).read(RAN_BEFORE))?.trim() as StorePath | undefined;
  }

  /** Removes an old folder of this number: after a journal was lost, numbers begin at 1 again, and an old verdict must not count. */
  async #begin(folder: ActivationFolder, running: StorePath | null): Promise<void> {
    await rm(folder.dir, { recursive: true, force: true });
    if (running !== null) await folder.write(RAN_BEFORE, `${running}\n`);
  }

  get #bootGuard(): string {
    return join(this.#deps.stateDir, 'boot-guard');
  }
}

/**
 * Identifies the running boot as the boot guard's script does: by the kernel's boot id, and by the start time of PID 1, as
 * containers share the kernel. Read in PID 1's root: in the agent's restricted view a container's boot_id is missing.
 */
async function bootId(): Promise<string> {
  const file = 'proc/sys/kernel/random/boot_id';
  const [kernel, stat] = await Promise.all([
    readFile(`/proc/1/root/${file}`, 'utf8').catch(async () => await readFile(`/${file}`, 'utf8')),
    readFile('/proc/1/stat', 'utf8'),
  ]);
  return `${kernel.trim()}\n${stat.split(' ')[21] ?? ''}`;
}
