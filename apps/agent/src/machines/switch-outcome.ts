import type { ExecResult } from '@floe/runtime';
import { lastWords } from '../text/redact.ts';
import type { SwitchAction, SwitchOutcome } from './machine.ts';

/** A switch that takes longer is taken for stuck, where nothing else is set. */
export const DEFAULT_SWITCH_LIMIT_MS = 15 * 60_000;

/** `switch-to-configuration` exits so when the system is on but units failed. */
const UNITS_FAILED = 4;
/** … and so when the change only takes effect with a reboot. */
const REBOOT_NEEDED = 100;
/** So much of a script's last words is reported. */
const MAX_WORDS = 600;

/** What the exit of `switch-to-configuration` means, by the exit statuses that NixOS gives it. */
export function describeSwitch(action: SwitchAction, result: Pick<ExecResult, 'end' | 'exitCode' | 'signal' | 'stderr'>): SwitchOutcome {
  const words = lastWords(result.stderr, MAX_WORDS);
  const said = words === '' ? '' : `: ${words}`;
  if (result.end === 'timed-out') return failed('SWITCH_TIMED_OUT', `the switch (${action}) did not end in time and was ended${said}`);
  if (result.end !== 'exited') return failed('SWITCH_KILLED', `the switch (${action}) was ended by ${result.signal ?? result.end}${said}`);
  switch (result.exitCode) {
    case 0:
      return { kind: 'switched', note: null };
    case UNITS_FAILED:
      return { kind: 'switched', note: { code: 'UNITS_FAILED', message: `the system is on, but units failed${said}` } };
    case REBOOT_NEEDED:
      return failed('REBOOT_NEEDED', `this change only takes effect with a reboot${said}`);
    default:
      return failed('SWITCH_FAILED', `the switch (${action}) failed with status ${result.exitCode}${said}`);
  }
}

function failed(code: string, message: string): SwitchOutcome {
  return { kind: 'failed', detail: { code, message } };
}
