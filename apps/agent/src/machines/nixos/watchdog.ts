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
  ONE_SHOT,
  RAN_BEFORE,
  REBOOTED_BACK,
  TRIES,
  UNDONE,
  guardScript,
  WATCHDOG_SCRIPT,
  watchdogScript,
  postSwitchWatchdogUnit,
  wayBackLimitSeconds,
  watchdogUnit,
} from './scripts.ts';

const POLL_MS = 100;

export interface WatchdogDeps {
  readonly stateDir: string;
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
}

/** What watches over an activation from outside of the agent. */
export class ActivationWatchdog {
  readonly #deps: WatchdogDeps;

  constructor(deps: WatchdogDeps) {
    this.#deps = deps;
  }

  folder(activation: number): ActivationFolder {
    return activationFolder(join(this.#deps.stateDir, 'activation'), activation);
  }

  /** Arms a timer of systemd that goes back at the deadline, whatever becomes of the agent. Throws `WATCHDOG_NOT_ARMED`. */
  async arm(
    plan: ActivationPlan,
    { isFirst, running }: { readonly isFirst: boolean; /** As it is, a specialisation too. */ readonly running: StorePath | null },
  ): Promise<void> {
    const folder = this.folder(plan.activation);
    if (isFirst) {
      await this.#begin(folder, running);
      // The start in which it began: on the way back it still tells whether there was another one.
      await folder.write(BOOT_ID, await bootId());
    }
    await folder.write(WATCHDOG_SCRIPT, watchdogScript(plan, folder.dir));
    await folder.write(AFTER_SWITCH_SCRIPT, afterSwitchScript(plan, folder.dir));
    await this.#stopTimers();
    const unit = watchdogUnit(plan.activation);
    const { exec, env } = this.#deps;
    const armed = await exec(
      'systemd-run',
      [
        '--quiet',
        '--collect',
        '--no-ask-password',
        `--unit=${unit}`,
        `--on-active=${Math.ceil((plan.switchMs + plan.verdictMs) / 1000)}`,
        '--timer-property=AccuracySec=1s',
        '--property=Type=oneshot',
        `--property=TimeoutStartSec=${wayBackLimitSeconds(plan)}`,
        '--',
        '/bin/sh',
        folder.file(WATCHDOG_SCRIPT),
      ],
      { env, timeoutMs: 60_000 },
    );
    if (armed.exitCode !== 0)
      throw new FloeError(
        'WATCHDOG_NOT_ARMED',
        `nothing is switched without a watchdog, and systemd did not take it: ${armed.stderr.trim().slice(-300)}`,
        {
          retryable: true,
        },
      );
  }

  /**
   * Puts the guard of the next start in its place. Where it is there already (the system is staged once more, and may be
   * the boot loader's default), there is one at every moment.
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

  /** Whether a guard's folder is of this very change, and still open: after a journal was lost, numbers come again. */
  async #isOf(folder: ActivationFolder, { toplevel, before }: ActivationPlan): Promise<boolean> {
    const script = await folder.read(GUARD_SCRIPT);
    return script?.includes(`\ntarget=${toplevel}\nbefore=${before}\n`) === true && (await folder.verdict()) === undefined;
  }

  /** What the machine's starts say about a staged or an interrupted activation. */
  async boots(activation: number): Promise<{ readonly isNewBoot: boolean; readonly fellBack: boolean }> {
    const folder = this.folder(activation);
    const then = (await folder.read(BOOT_ID))?.trim();
    return { isNewBoot: then !== undefined && then !== (await bootId()), fellBack: await folder.has(FELL_BACK) };
  }

  /** Before the boot loader is told to try it once, and when it could not be: only what may be there must be taken back. */
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
    return await this.folder(activation).claim(verdict);
  }

  /** Waits until no switch runs that the watchdog, or an earlier run of the agent, began. */
  async settled(signal: AbortSignal): Promise<void> {
    const { exec, env } = this.#deps;
    const units = ['floe-watchdog-*.service', 'floe-verdict-*.service', 'floe-switch-*.service'];
    const states = '--state=activating,active,deactivating,reloading';
    for (;;) {
      const shown = await exec('systemctl', ['list-units', states, '--plain', '--no-legend', '--no-pager', ...units], { env, timeoutMs: 30_000 });
      // A systemd that does not answer says nothing: asked again.
      if (shown.exitCode === 0 && shown.stdout.trim() === '') return;
      await delay(POLL_MS, undefined, { signal });
    }
  }

  /** The verdict is in: nothing is left to watch. */
  async disarm(): Promise<void> {
    await this.#stopTimers();
    await rm(this.#bootGuard, { force: true });
  }

  /** Those of all activations: one that is over must not be undone in the middle of the next. */
  async #stopTimers(): Promise<void> {
    const { exec, env } = this.#deps;
    const units = [postSwitchWatchdogUnit('*'), watchdogUnit('*')].flatMap((name) => [`${name}.timer`, `${name}.service`]);
    await exec('systemctl', ['stop', ...units], { env, timeoutMs: 60_000 });
  }

  /** The directive ended: nothing of it stays. */
  async forget(): Promise<void> {
    await this.#stopTimers();
    await rm(this.#bootGuard, { force: true });
    await removeActivations(join(this.#deps.stateDir, 'activation'));
  }

  /** What ran when the activation began: a specialisation as such. */
  async ranBefore(activation: number): Promise<StorePath | undefined> {
    return (await this.folder(activation).read(RAN_BEFORE))?.trim() as StorePath | undefined;
  }

  /** After a journal was lost, activations are counted from 1 again: no verdict of another one may be taken for this one's. */
  async #begin(folder: ActivationFolder, running: StorePath | null): Promise<void> {
    await rm(folder.dir, { recursive: true, force: true });
    if (running !== null) await folder.write(RAN_BEFORE, `${running}\n`);
  }

  get #bootGuard(): string {
    return join(this.#deps.stateDir, 'boot-guard');
  }
}

/**
 * Names the running start of this machine as the guard's script does: the kernel's, and when PID 1 began, as containers
 * may have the kernel's name in common. Of PID 1's own /proc: what systemd fences off gets another, where a container's
 * boot_id is not.
 */
async function bootId(): Promise<string> {
  const file = 'proc/sys/kernel/random/boot_id';
  const [kernel, stat] = await Promise.all([
    readFile(`/proc/1/root/${file}`, 'utf8').catch(async () => await readFile(`/${file}`, 'utf8')),
    readFile('/proc/1/stat', 'utf8'),
  ]);
  return `${kernel.trim()}\n${stat.split(' ')[21] ?? ''}`;
}
