import type { MaintenanceWindow } from '@floe/protocol';
import { readCron } from '@floe/runtime';
import { MINUTE_MS } from './times.ts';

/** Whether the maintenance windows allow a change now. `problem` names the windows that cannot be used. */
export type WindowState =
  /** No windows are declared: any time is allowed. */
  | { readonly kind: 'unlimited' }
  | { readonly kind: 'open'; readonly problem: string | null }
  | { readonly kind: 'closed'; readonly opensAt: number; readonly problem: string | null }
  /** No window can be used: none would ever open. */
  | { readonly kind: 'invalid'; readonly problem: string };

type ReadWindow =
  /** `opensAt`: the next start after now, also when the window is open. */
  { readonly kind: 'usable'; readonly isOpen: boolean; readonly opensAt: number } | { readonly kind: 'mistake'; readonly problem: string };

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
  if (first !== undefined) return { kind: 'closed', opensAt: first.opensAt, problem };
  return { kind: 'invalid', problem: problem ?? 'none is declared' };
}

function readWindow({ cron, timeZone, durationMinutes }: MaintenanceWindow, now: number): ReadWindow {
  const mistake = (said: string): ReadWindow => ({ kind: 'mistake', problem: `the maintenance window "${cron}" in ${timeZone} ${said}` });
  const times = readCron(cron, timeZone);
  if (times.kind === 'mistake') return mistake(times.said);
  const opensAt = times.startAfter(now);
  if (opensAt === undefined) return mistake('never opens: there is no such day');
  const lastStart = times.startAfter(now - durationMinutes * MINUTE_MS);
  return { kind: 'usable', isOpen: lastStart !== undefined && lastStart <= now, opensAt };
}
