import type { MaintenanceWindow } from '@floe/protocol';
import { describeError, FloeError, isFloeError } from '@floe/runtime';
import { Cron } from 'croner';
import { MINUTE_MS } from './times.ts';

/** croner also takes nicknames, dates and seconds, which the policy does not promise. */
const FIVE_FIELDS = /^\s*\S+(?:\s+\S+){4}\s*$/;

/** Whether the machine may be changed now, by its windows. `problem` names each one that cannot be used. */
export type WindowState =
  /** No windows are declared: any time will do. */
  | { readonly kind: 'unlimited' }
  | { readonly kind: 'open'; readonly problem: string | null }
  | { readonly kind: 'closed'; readonly opensAt: number; readonly timeZone: string; readonly problem: string | null }
  /** None of them can be used: they would never open. */
  | { readonly kind: 'invalid'; readonly problem: string };

interface UsableWindow {
  readonly timeZone: string;
  readonly isOpen: boolean;
  /** The first time after now at which it opens, open as it may be. */
  readonly opensAt: number;
}

/**
 * The state of all windows together at `now`. A window lasts its duration in real time, so that one over the change of
 * the clocks is neither shorter nor longer; a start in the hour that a zone skips is at the first time after it, and one
 * in the hour that it repeats comes once.
 */
export function readWindows(windows: readonly MaintenanceWindow[], now: number): WindowState {
  if (windows.length === 0) return { kind: 'unlimited' };
  const usable: UsableWindow[] = [];
  const problems: string[] = [];
  for (const window of windows) {
    try {
      usable.push(readWindow(window, now));
    } catch (error) {
      if (!isFloeError(error, 'WINDOW_INVALID')) throw error;
      problems.push(error.message);
    }
  }
  const problem = problems.length === 0 ? null : problems.join('; ');
  if (usable.some(({ isOpen }) => isOpen)) return { kind: 'open', problem };
  const [first] = usable.toSorted((a, b) => a.opensAt - b.opensAt);
  if (first !== undefined) return { kind: 'closed', opensAt: first.opensAt, timeZone: first.timeZone, problem };
  return { kind: 'invalid', problem: problems.join('; ') };
}

/** Throws `FloeError('WINDOW_INVALID')`. */
function readWindow({ cron: pattern, timeZone, durationMinutes }: MaintenanceWindow, now: number): UsableWindow {
  const invalid = (said: string, cause?: unknown): FloeError<'WINDOW_INVALID'> =>
    new FloeError('WINDOW_INVALID', `the maintenance window "${pattern}" in ${timeZone} ${said}`, { cause });
  if (!FIVE_FIELDS.test(pattern)) throw invalid('is not five fields, as in "0 2 * * tue"');
  try {
    new Intl.DateTimeFormat('en', { timeZone }).format(now);
  } catch (cause) {
    throw invalid('has a time zone that does not exist, name one as in "Europe/Berlin"', cause);
  }
  let cron: Cron;
  try {
    cron = new Cron(pattern, { timezone: timeZone, mode: '5-part', paused: true });
  } catch (cause) {
    throw invalid(`cannot be read: ${describeError(cause).replace(/^CronPattern: /, '')}`, cause);
  }
  const startAfter = (at: number): number | undefined => cron.nextRun(new Date(at))?.getTime();
  const opensAt = startAfter(now);
  if (opensAt === undefined) throw invalid('never opens: there is no such day');
  const lastStart = startAfter(now - durationMinutes * MINUTE_MS);
  return { timeZone, isOpen: lastStart !== undefined && lastStart <= now, opensAt };
}
