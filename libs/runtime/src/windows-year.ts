import type { RingWindow } from '@floe/model';
import { DAY_MS } from './cron.ts';
import { lookBudget, type LookBudget } from './look-budget.ts';
import { isUnlimited, readGiven, windowName, type GivenWindows } from './ring-spans.ts';
import { subtractSpans, uniteSpans, type TimeSpan } from './time-spans.ts';
import { readWindowSpans } from './window-spans.ts';

const YEAR_DAYS = 366;
/** A little is looked at first, because that is enough for most windows. */
const STEPS_DAYS = [2, 16, 100, YEAR_DAYS] as const;

/** What it means for a policy, as the rest of a sentence that begins with the windows. */
export const NEVER_OPENS = 'together they never open within a year, so the ring and those after it get no changes';
/** The same where it is not known. Such windows are refused, because each look at a rollout would take long as well. */
export const TOO_OFTEN =
  'the windows of this policy begin so often that it cannot be found out whether these open within a year: write fewer of them, and longer ones';
export const NOT_NAMED = 'the windows of this policy begin so often that it is not named here which of these never opens';

export interface WindowProblem {
  /** Of the window. */
  readonly index: number;
  readonly message: string;
}

/** A look at the year after a time. */
export interface YearOfWindows {
  /** True when changes cannot begin within the year; undefined: there was too much to look at. */
  neverOpens(given: GivenWindows): boolean | undefined;
  /** What is wrong with the windows of a ring: those that cannot be read, and those without effect. Undefined: there was too much to look at. */
  problems(windows: readonly RingWindow[]): readonly WindowProblem[] | undefined;
}

/** One look is for all windows of a policy: together they cost no more than one budget. Ask what matters most first. */
export function yearOfWindows(from: number, budget: LookBudget = lookBudget()): YearOfWindows {
  return {
    neverOpens: (given) => neverOpens(given, from, budget),
    problems: (windows) => windowProblems(windows, { from, to: from + YEAR_DAYS * DAY_MS }, budget),
  };
}

function neverOpens(given: GivenWindows, from: number, budget: LookBudget): boolean | undefined {
  if (isUnlimited(given)) return false;
  const read = readGiven(given);
  if (read.kind === 'mistakes') return true;
  for (const days of STEPS_DAYS) {
    const spans = read.openWithin({ from, to: from + days * DAY_MS }, budget);
    if (spans === undefined) return undefined;
    if (spans.length > 0) return false;
  }
  return true;
}

function windowProblems(windows: readonly RingWindow[], year: TimeSpan, budget: LookBudget): readonly WindowProblem[] | undefined {
  const read: { readonly window: RingWindow; readonly mistake?: string; readonly spans: readonly TimeSpan[] }[] = [];
  for (const window of windows) {
    const each = readWindowSpans(window);
    const spans = each.kind === 'spans' ? each.within(year, budget) : [];
    if (spans === undefined) return undefined;
    read.push({ window, spans, ...(each.kind === 'mistake' && { mistake: each.said }) });
  }
  const denied = uniteSpans(
    read.flatMap(({ window, spans }) => (window.kind === 'deny' ? [spans] : [])),
    year,
  );
  return read.flatMap(({ window, mistake, spans }, index) => {
    if (mistake !== undefined) return [{ index, message: `${windowName(window)} ${mistake}` }];
    if (spans.length === 0)
      return [
        {
          index,
          message: `${windowName(window)} ${window.kind === 'allow' ? 'allows' : 'denies'} nothing within a year: there is no such day in it`,
        },
      ];
    if (window.kind === 'deny') return [];
    // Each window that allows is compared with all that denies.
    budget.spend(denied.length);
    if (subtractSpans(spans, denied).length > 0) return [];
    return [{ index, message: `${windowName(window)} never opens: windows that deny cover it for the whole year` }];
  });
}
