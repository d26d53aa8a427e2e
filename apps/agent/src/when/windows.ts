import type { MaintenanceWindow } from '@floe/protocol';
import { describeError } from '@floe/runtime';
import { Cron } from 'croner';
import { MINUTE_MS } from './times.ts';

/** croner also accepts nicknames, dates and seconds, which the policy does not support. */
const FIVE_FIELDS = /^\s*\S+(?:\s+\S+){4}\s*$/;

/** Whether the maintenance windows allow a change now. `problem` names the windows that cannot be used. */
export type WindowState =
  /** No windows are declared: any time is allowed. */
  | { readonly kind: 'unlimited' }
  | { readonly kind: 'open'; readonly problem: string | null }
  | { readonly kind: 'closed'; readonly opensAt: number; readonly timeZone: string; readonly problem: string | null }
  /** No window can be used: none would ever open. */
  | { readonly kind: 'invalid'; readonly problem: string };

type ReadWindow =
  /** `opensAt`: the next start after now, also when the window is open. */
  | { readonly kind: 'usable'; readonly timeZone: string; readonly isOpen: boolean; readonly opensAt: number }
  | { readonly kind: 'mistake'; readonly problem: string };

/** How many mistakes a message lists. */
const MAX_PROBLEMS = 3;

/**
 * The state of all windows together at `now`. A window's duration is real time, also over a change to or from summer time. A
 * start in a skipped hour moves to the first time after it; one in a repeated hour happens once. A mistake in one window does not
 * affect the others.
 */
export function readWindows(windows: readonly MaintenanceWindow[], now: number): WindowState {
  if (windows.length === 0) return { kind: 'unlimited' };
  const read = windows.map((window) => readWindow(window, now));
  const usable = read.filter((each) => each.kind === 'usable');
  const problem =
    read
      .filter((each) => each.kind === 'mistake')
      .slice(0, MAX_PROBLEMS)
      .map((each) => each.problem)
      .join('; ') || null;
  if (usable.some(({ isOpen }) => isOpen)) return { kind: 'open', problem };
  const [first] = usable.toSorted((a, b) => a.opensAt - b.opensAt);
  if (first !== undefined) return { kind: 'closed', opensAt: first.opensAt, timeZone: first.timeZone, problem };
  return { kind: 'invalid', problem: problem ?? 'none is declared' };
}

function readWindow({ cron, timeZone, durationMinutes }: MaintenanceWindow, now: number): ReadWindow {
  const mistake = (said: string): ReadWindow => ({ kind: 'mistake', problem: `the maintenance window "${cron}" in ${timeZone} ${said}` });
  if (!FIVE_FIELDS.test(cron)) return mistake('is not five fields, as in "0 2 * * tue"');
  try {
    const times = new Cron(cron, { timezone: timeZone, mode: '5-part', paused: true });
    const startAfter = (at: number): number | undefined => times.nextRun(new Date(at))?.getTime();
    const opensAt = startAfter(now);
    if (opensAt === undefined) return mistake('never opens: there is no such day');
    const lastStart = startAfter(now - durationMinutes * MINUTE_MS);
    return { kind: 'usable', timeZone, isOpen: lastStart !== undefined && lastStart <= now, opensAt };
  } catch (error) {
    if (!isTimeZone(timeZone)) return mistake('has a time zone that does not exist, name one as in "Europe/Berlin"');
    return mistake(`cannot be read: ${describeError(error).replace(/^CronPattern: /, '')}`);
  }
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
