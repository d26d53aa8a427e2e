import { DAY_MS } from './cron.ts';
import { lookBudget, MAX_PIECES } from './look-budget.ts';
import { isUnlimited, readGiven, type GivenWindows, type ReadSpans } from './ring-spans.ts';

/** The windows of a ring at one time. */
export interface RingWindowState {
  /** Changes may begin. */
  readonly isOpen: boolean;
  /** When that changes next; missing: not within {@link LOOK_AHEAD_DAYS}. */
  readonly changesAt?: number;
  /** What is wrong with windows that cannot be read. As long as there are any, changes do not begin. */
  readonly problem?: string;
}

/** How far ahead a change is looked for: a window that opens once a year is found. */
export const LOOK_AHEAD_DAYS = 400;
const STEPS_DAYS = [2, 16, 100] as const;
/** No deadline counts more than this, and a clock that jumps costs no more. */
const MAX_COUNTED_DAYS = 800;
/** Only dozens of windows that begin every few minutes have so many pieces that less than a year is looked at. */
const MIN_DAYS = 8;
/** For one answer, however many time zones the hosts of a ring have. */
const MAX_PIECES_OF_ANSWER = 10 * MAX_PIECES;
/** How many mistakes a message lists. */
const MAX_PROBLEMS = 3;

/**
 * Whether changes may begin at `now`: a window allows it, or there is none that allows, and none denies it. A window that cannot be read
 * keeps the ring closed: it might be one that denies.
 */
export function ringWindowState(given: GivenWindows, now: number): RingWindowState {
  if (isUnlimited(given)) return { isOpen: true };
  const read = readGiven(given);
  if (read.kind === 'mistakes') return { isOpen: false, problem: read.problems.slice(0, MAX_PROBLEMS).join('; ') };
  const budget = lookBudget(MAX_PIECES_OF_ANSWER);
  let isOpen: boolean | undefined;
  for (const days of stepsUpTo(LOOK_AHEAD_DAYS, read)) {
    const end = now + days * DAY_MS;
    const spans = read.openWithin({ from: now, to: end }, budget);
    if (spans === undefined) break;
    const [first] = spans;
    isOpen = first?.from === now;
    const changesAt = isOpen ? first?.to : first?.from;
    if (changesAt !== undefined && changesAt < end) return { isOpen, changesAt };
  }
  return isOpen === undefined ? { isOpen: false, problem: 'the windows begin too often, in too many time zones, to be looked at' } : { isOpen };
}

/** For how long changes could begin between two times. A clock that went back counts nothing. */
export function openMsBetween(given: GivenWindows, from: number, to: number): number {
  if (to <= from) return 0;
  if (isUnlimited(given)) return to - from;
  const read = readGiven(given);
  if (read.kind === 'mistakes') return 0;
  const counted = { from: Math.max(from, to - daysUpTo(MAX_COUNTED_DAYS, read) * DAY_MS), to };
  const spans = read.openWithin(counted, lookBudget(MAX_PIECES_OF_ANSWER)) ?? [];
  return spans.reduce((sum, span) => sum + span.to - span.from, 0);
}

/** When changes could have begun for `openMs` since `from`; undefined: not within {@link LOOK_AHEAD_DAYS}. */
export function timeAfterOpenMs(given: GivenWindows, from: number, openMs: number): number | undefined {
  if (isUnlimited(given)) return from + openMs;
  const read = readGiven(given);
  if (read.kind === 'mistakes') return undefined;
  const budget = lookBudget(MAX_PIECES_OF_ANSWER);
  for (const days of stepsUpTo(LOOK_AHEAD_DAYS, read)) {
    let left = openMs;
    for (const span of read.openWithin({ from, to: from + days * DAY_MS }, budget) ?? []) {
      const length = span.to - span.from;
      if (length >= left) return span.from + left;
      left -= length;
    }
  }
  return undefined;
}

/** Looks a little ahead first, because that is enough for most windows. */
function stepsUpTo(days: number, read: ReadSpans): readonly number[] {
  const most = daysUpTo(days, read);
  return [...STEPS_DAYS.filter((step) => step < most), most];
}

/** At most so many days, and fewer where there is very much to look at. */
function daysUpTo(days: number, { piecesPerDay }: ReadSpans): number {
  return Math.max(MIN_DAYS, Math.min(days, Math.floor(MAX_PIECES / Math.max(1, piecesPerDay))));
}
