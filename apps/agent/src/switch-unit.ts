import { setTimeout as delay } from 'node:timers/promises';
import type { StorePath } from '@floe/model';
import { FloeError, type Exec, type ExecResult } from '@floe/runtime';
import type { SwitchAction } from './machine.ts';
import { SWITCH_TIMEOUT_MS } from './switch-outcome.ts';

const UNIT = 'floe-switch.service';
/** What a switch that another run of the agent began is waited for with. */
const POLL_MS = 500;

type UnitResult = Pick<ExecResult, 'end' | 'exitCode' | 'signal' | 'stderr'>;

/** What runs a system's switch outside of the agent's own unit, and can be asked about it later. */
export interface SwitchUnit {
  /** Runs it and waits for its end. */
  run(path: StorePath, action: SwitchAction, signal: AbortSignal): Promise<UnitResult>;
  /** Returns when no switch runs. */
  settled(signal: AbortSignal): Promise<void>;
  /** How this very switch ended in this boot, waiting for it if it still runs; undefined when there was none. */
  resultOf(path: StorePath, action: SwitchAction, signal: AbortSignal): Promise<UnitResult | undefined>;
}

/**
 * Switches in a transient systemd unit: a switch that restarts the agent must not die with it. The unit stays after its
 * end (not `--collect`ed: the exit status of a collected unit reads 0), so that a restarted agent reads its result.
 */
export function switchUnit(deps: { readonly exec: Exec; readonly env: NodeJS.ProcessEnv }): SwitchUnit {
  const { exec, env } = deps;

  async function show(): Promise<Map<string, string>> {
    const properties = ['ActiveState', 'SubState', 'Description', 'ExecMainCode', 'ExecMainStatus', 'Result', 'InvocationID'];
    const result = await exec('systemctl', ['show', UNIT, ...properties.map((name) => `--property=${name}`)], { env, timeoutMs: 30_000 });
    return new Map(
      result.stdout
        .split('\n')
        .filter((line) => line.includes('='))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  }

  /** The unit's properties once it does not run any more. */
  async function ended(signal: AbortSignal): Promise<Map<string, string>> {
    for (;;) {
      const properties = await show();
      const isRunning =
        properties.get('ActiveState') === 'activating' ||
        properties.get('SubState') === 'running' ||
        properties.get('ActiveState') === 'deactivating';
      if (!isRunning) return properties;
      await delay(POLL_MS, undefined, { signal });
    }
  }

  async function readResult(properties: ReadonlyMap<string, string>): Promise<UnitResult> {
    const log = await exec(
      'journalctl',
      ['--output=cat', '--no-pager', '--lines=20', `_SYSTEMD_INVOCATION_ID=${properties.get('InvocationID') ?? ''}`],
      { env, timeoutMs: 30_000 },
    );
    const isTimeout = properties.get('Result') === 'timeout';
    // CLD_EXITED of sigaction(2); anything else was a signal.
    const isExit = properties.get('ExecMainCode') === '1';
    const end = isTimeout ? 'timed-out' : isExit ? 'exited' : 'killed';
    return { end, exitCode: isExit ? Number(properties.get('ExecMainStatus')) : -1, signal: null, stderr: log.stdout };
  }

  return {
    async settled(signal) {
      await ended(signal);
    },
    async run(path, action, signal) {
      await exec('systemctl', ['stop', UNIT], { env, timeoutMs: 30_000 });
      await exec('systemctl', ['reset-failed', UNIT], { env, timeoutMs: 30_000 });
      // A oneshot unit's start returns when its program has ended.
      const properties = ['Type=oneshot', `TimeoutStartSec=${SWITCH_TIMEOUT_MS / 1000}`, 'KillMode=process'];
      const command = [`${path}/bin/switch-to-configuration`, action];
      const args = [
        `--unit=${UNIT}`,
        `--description=${describe(path, action)}`,
        '--remain-after-exit',
        '--quiet',
        ...properties.map((each) => `--property=${each}`),
        '--',
        ...command,
      ];
      const started = await exec('systemd-run', args, { env, signal });
      const outcome = await ended(signal);
      if (outcome.get('Description') !== describe(path, action)) {
        throw new FloeError('SWITCH_NOT_STARTED', `systemd did not run the switch: ${started.stderr.trim().slice(-500)}`, { retryable: true });
      }
      return await readResult(outcome);
    },
    async resultOf(path, action, signal) {
      const properties = await ended(signal);
      return properties.get('Description') === describe(path, action) ? await readResult(properties) : undefined;
    },
  };
}

function describe(path: StorePath, action: SwitchAction): string {
  return `Floe: ${action} ${path}`;
}
