import type { ExecResult } from '@floe/runtime';
import { lastWords } from '../text/redact.ts';
import type { SwitchAction, SwitchOutcome } from './machine.ts';

/** Default limit of a switch: one that takes longer counts as stuck. */
export const DEFAULT_SWITCH_LIMIT_MS = 15 * 60_000;

/** Exit status of `switch-to-configuration`: the system runs, but units failed. */
const UNITS_FAILED = 4;
/** Exit status: the change needs a reboot. */
const REBOOT_NEEDED = 100;
/** How much of the end of a script's output is reported, in characters. */
const MAX_WORDS = 600;

/** The meaning of `switch-to-configuration`'s exit status, as NixOS defines it. */
export function describeSwitch(action: SwitchAction, result: Pick<ExecResult, 'end' | 'exitCode' | 'signal' | 'stderr'>): SwitchOutcome {
  const words = lastWords(result.stderr, MAX_WORDS);
  const said = words === '' ? '' : `: ${words}`;
  if (result.end === 'timed-out') return failed('SWITCH_TIMED_OUT', `the switch (${action}) took too long and was ended${said}`);
  if (result.end !== 'exited') return failed('SWITCH_KILLED', `the switch (${action}) was ended by ${result.signal ?? result.end}${said}`);
  switch (result.exitCode) {
    case 0:
      return { kind: 'switched', note: null };
    case UNITS_FAILED:
      return { kind: 'switched', note: { code: 'UNITS_FAILED', message: `the system runs, but units failed${said}` } };
    case REBOOT_NEEDED:
      return failed('REBOOT_NEEDED', `this change only takes effect with a reboot${said}`);
    default:
      return failed('SWITCH_FAILED', `the switch (${action}) failed with status ${result.exitCode}${said}`);
  }
}

function failed(code: string, message: string): SwitchOutcome {
  return { kind: 'failed', detail: { code, message } };
}
