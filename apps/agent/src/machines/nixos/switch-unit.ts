import { setTimeout as delay } from 'node:timers/promises';
import { rm } from 'node:fs/promises';
import { FloeError, type Exec, type ExecResult } from '@floe/runtime';
import type { ActivationFolder } from './activation-folder.ts';

/** How often to check whether a unit has ended. */
const POLL_MS = 100;
/** How many of the last lines of a switch are reported. */
const LOG_LINES = 40;
/** Added for systemd itself to the limit of the program that it runs. */
export const SYSTEMD_ANSWERS_MS = 60_000;

/**
 * Writes how a unit ended. systemd runs it after the main program, also when that was killed or no agent runs. It sets PATH,
 * which a transient unit on NixOS lacks.
 */
const record = (path: string): string =>
  `PATH='${path.replaceAll("'", `'\\''`)}:/run/current-system/sw/bin:/usr/bin:/bin'; export PATH\nprintf '%s %s %s\\n' "$SERVICE_RESULT" "\${EXIT_CODE:-}" "\${EXIT_STATUS:-}" >"$1.tmp" && sync "$1.tmp" && mv "$1.tmp" "$1"\n`;

export type UnitResult = Pick<ExecResult, 'end' | 'exitCode' | 'signal' | 'stderr'>;

export interface SwitchUnitDeps {
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
}

/** A command in a transient systemd unit: it goes on while the agent restarts, and its result is on disk. */
export interface SwitchUnit {
  /** Runs it and waits for its end; one of the same name that still runs is waited for first. `afterwards`: a script run by systemd when it ended. */
  run(
    command: readonly [string, ...string[]],
    options: { readonly limitMs: number; readonly signal: AbortSignal; readonly afterwards?: string },
  ): Promise<UnitResult>;
  /** How it ended, waiting for it if it still runs; undefined when it never ran or was lost. */
  result(signal: AbortSignal): Promise<UnitResult | undefined>;
}

/** The unit `name` (without `.service`), whose result is kept in `folder`. */
export function switchUnit(deps: SwitchUnitDeps, folder: ActivationFolder, name: string): SwitchUnit {
  const { exec, env } = deps;
  const unit = `${name}.service`;
  const resultFile = `${name}.result`;

  async function isRunning(): Promise<boolean> {
    const shown = await exec('systemctl', ['show', unit, '--property=ActiveState', '--value'], { env, timeoutMs: 30_000 });
    const state = shown.stdout.trim();
    // No answer counts as running: a busy systemd must not make a switch look ended.
    return shown.exitCode !== 0 || state === '' || ['activating', 'active', 'deactivating', 'reloading'].includes(state);
  }

  async function result(signal: AbortSignal): Promise<UnitResult | undefined> {
    for (;;) {
      const isOver = !(await isRunning());
      // Read after systemd was asked: what it wrote before it was done is there.
      const text = await folder.read(resultFile);
      if (text !== undefined) return await understand(text);
      if (isOver) return undefined;
      await delay(POLL_MS, undefined, { signal });
    }
  }

  async function understand(text: string): Promise<UnitResult> {
    const [outcome, code, status] = text.trim().split(' ');
    const log = await exec('journalctl', ['--output=cat', '--no-pager', '--quiet', `--lines=${LOG_LINES}`, `--unit=${unit}`], {
      env,
      timeoutMs: 30_000,
    });
    const isExit = code === 'exited' && outcome !== 'timeout';
    return {
      end: outcome === 'timeout' ? 'timed-out' : isExit ? 'exited' : 'killed',
      exitCode: isExit ? Number(status) : -1,
      signal: isExit || status === undefined || status === '' ? null : (`SIG${status}` as NodeJS.Signals),
      stderr: withoutNoise(log.stdout, unit),
    };
  }

  return {
    result,
    async run(command, { limitMs, signal, afterwards }) {
      await result(signal);
      await rm(folder.file(resultFile), { force: true });
      await folder.write('record.sh', record(env['PATH'] ?? ''));
      const properties = [
        // A oneshot unit's start returns when its program has ended.
        'Type=oneshot',
        `TimeoutStartSec=${Math.ceil(limitMs / 1000)}`,
        'TimeoutStopSec=10',
        'KillMode=control-group',
        ...(afterwards === undefined ? [] : [`ExecStopPost=-/bin/sh ${afterwards}`]),
        `ExecStopPost=/bin/sh ${folder.file('record.sh')} ${folder.file(resultFile)}`,
      ];
      const args = [
        '--quiet',
        '--collect',
        '--no-ask-password',
        `--unit=${unit}`,
        ...properties.map((each) => `--property=${each}`),
        '--',
        ...command,
      ];
      const started = await exec('systemd-run', args, { env, signal, timeoutMs: limitMs + SYSTEMD_ANSWERS_MS });
      const found = await result(signal);
      if (found === undefined) {
        throw new FloeError('SWITCH_NOT_STARTED', `systemd did not run ${unit}: ${started.stderr.trim().slice(-500)}`, { retryable: true });
      }
      return found;
    },
  };
}

/** Without systemd's own lines about the unit. */
function withoutNoise(log: string, unit: string): string {
  return log
    .split('\n')
    .filter((line) => !line.startsWith(`${unit}: `) && !/^(?:Starting|Started|Finished|Stopped|Failed to start) /.test(line))
    .join('\n');
}
