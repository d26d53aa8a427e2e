import type { ExecResult } from '@floe/runtime';
import type { UnitCheck } from './check-form.ts';

/** Runs a program where the system's programs run. */
export type Run = (command: readonly [string, ...string[]], signal: AbortSignal) => Promise<ExecResult>;

const PROPERTIES = ['LoadState', 'ActiveState', 'SubState', 'Result', 'NRestarts'];

/**
 * Checks one unit repeatedly. A service that systemd restarts after each crash looks active with every check, so a restart since
 * the last check counts as a failure, too.
 */
export function unitProbe({ unit }: UnitCheck, run: Run): (signal: AbortSignal) => Promise<string | null> {
  let restartsBefore: number | undefined;

  return async (signal) => {
    const result = await run(['systemctl', 'show', ...PROPERTIES.map((name) => `--property=${name}`), '--', unit], signal).catch(() => null);
    if (result?.end !== 'exited' || result.exitCode !== 0) {
      const why = result === null ? 'systemctl is missing' : result.stderr.trim().slice(-300) || result.end;
      return `expected ${unit} to be active, but systemctl could not tell: ${why}`;
    }
    const found = new Map(result.stdout.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
    const state = found.get('ActiveState') ?? '';
    // Only services count their restarts.
    const restarts = Number(found.get('NRestarts') ?? 0);
    const before = restartsBefore;
    restartsBefore = restarts;
    if (found.get('LoadState') === 'not-found') return `expected ${unit} to be active, but there is no such unit`;
    // A service that reloads its settings runs.
    if (state !== 'active' && state !== 'reloading') {
      const how = [found.get('SubState'), found.get('Result')].filter((word) => word !== undefined && !['', 'success', state].includes(word));
      return `expected ${unit} to be active, got ${state || 'no state'}${how.length === 0 ? '' : ` (${how.join(', ')})`}`;
    }
    if (before !== undefined && restarts > before) {
      return `expected ${unit} to stay active, got ${restarts - before} more ${restarts - before === 1 ? 'restart' : 'restarts'} since the last look`;
    }
    return null;
  };
}
