import { cronCalendar, DAY_MS, readCron, type CronCalendar, type CronTimes } from './cron.ts';
import type { LookBudget } from './look-budget.ts';
import { joinSpans, type TimeSpan } from './time-spans.ts';
import { kept } from './kept.ts';
import { wallClockOf, type WallClock } from './wall-clock.ts';

/** When something begins, and how long it lasts. */
export interface RecurringWindow {
  /** Five fields. */
  readonly cron: string;
  readonly durationMs: number;
  /** IANA name. */
  readonly timeZone: string;
}

/** A window that was read. */
export interface WindowSpans {
  readonly kind: 'spans';
  /** How many pieces it is active in on most days: what a look at a day costs. */
  readonly piecesPerDay: number;
  /** When it is active, within a span; undefined: the budget was spent before all was found. */
  within(span: TimeSpan, budget: LookBudget): readonly TimeSpan[] | undefined;
}

/**
 * Reads a window, or says what is wrong with it. Most days of a time zone are the same, so their times are found once for all of them;
 * only days on which clocks change are looked at each for itself. A year of a window that begins each minute takes some milliseconds.
 */
export const readWindowSpans: (window: RecurringWindow) => WindowSpans | WindowMistake = kept(readOnce, ({ cron, durationMs, timeZone }) =>
  JSON.stringify([cron, durationMs, timeZone]),
);

interface WindowMistake {
  readonly kind: 'mistake';
  readonly said: string;
}

function readOnce({ cron, durationMs, timeZone }: RecurringWindow): WindowSpans | WindowMistake {
  const read = readCron(cron, timeZone);
  if (read.kind === 'mistake') return read;
  const times: CronTimes = read;
  const calendar = cronCalendar(cron);
  const clock = wallClockOf(timeZone);
  const lasting = (from: number): TimeSpan => ({ from, to: from + durationMs });
  // Of an ordinary day, after its midnight.
  const ofDay = joinSpans(calendar.times.map(lasting), { from: 0, to: DAY_MS + durationMs });

  function dayFrom(day: number, budget: LookBudget): number | undefined {
    const found = calendar.dayFrom(day);
    if (found === undefined) budget.spendOnce(calendar.days, NO_DAY_PIECES);
    else if (!calendar.isDaily) budget.spend(ASKED_PIECES);
    return found;
  }

  /** The last day whose times may still last at `at`, or a day before it. */
  function dayBefore(at: number, budget: LookBudget): number {
    const today = clock.dayOf(at);
    const longest = Math.ceil(durationMs / DAY_MS) + 2;
    const back = LOOK_BACK_DAYS.filter((days) => days < longest).find((days) => (dayFrom(today - days, budget) ?? today) < today);
    return today - (back ?? longest);
  }

  function* spansFrom(at: number, budget: LookBudget): Generator<TimeSpan> {
    for (let day = dayFrom(dayBefore(at, budget), budget); day !== undefined && !budget.isSpent(); day = dayFrom(day, budget)) {
      budget.spendOnce(`${timeZone} ${day}`, CLOCK_PIECES);
      const midnight = clock.midnight(day);
      if (clock.isOrdinary(day)) {
        budget.spend(ofDay.length);
        for (const span of ofDay) yield { from: midnight + span.from, to: midnight + span.to };
        day += 1;
      } else {
        let end = day + 1;
        while (!clock.isOrdinary(end) && end < day + MAX_ODD_DAYS) end += 1;
        const stretch = { from: midnight - ODD_MARGIN_MS, to: clock.midnight(end) };
        const isOne = calendar.times.length === 1;
        if (isOne || !calendar.isDaily) budget.spend((end - day + 2) * ASKED_PIECES);
        if (!isOne) budget.spend(((stretch.to - stretch.from) / QUARTER_MS) * QUARTER_PIECES);
        for (const from of isOne ? startsIn(times, stretch) : wallStartsIn(calendar, clock, stretch)) yield lasting(from);
        day = end;
      }
    }
  }

  return { kind: 'spans', piecesPerDay: ofDay.length, within };

  function within(span: TimeSpan, budget: LookBudget): readonly TimeSpan[] | undefined {
    if (budget.isSpent()) return undefined;
    const spans = joinSpans(spansFrom(span.from, budget), span);
    return budget.isSpent() ? undefined : spans;
  }
}

/** What takes as long as so many pieces: asking croner for a time, or for a day that never comes, and for the clocks of a day. */
const ASKED_PIECES = 100;
const NO_DAY_PIECES = 10_000;
const CLOCK_PIECES = 20;
/** Looking at each minute of a quarter of an hour. */
const QUARTER_PIECES = 5;

/** Each is tried in turn: most windows began yesterday, last week, last month or last year. */
const LOOK_BACK_DAYS = [1, 8, 40, 400, 3000] as const;
/** Clocks change on one day, and the days beside it are not ordinary either. */
const MAX_ODD_DAYS = 20;
/** A day begins earlier or later where clocks change at midnight. What is found twice is joined. */
const ODD_MARGIN_MS = 3 * 3_600_000;

function* startsIn(times: CronTimes, { from, to }: TimeSpan): Generator<number> {
  for (let next = times.startAfter(from - 1); next !== undefined && next < to; next = times.startAfter(next)) yield next;
}

const MINUTE_MS = 60_000;
/** Clocks change at such a time. */
const QUARTER_MS = 15 * MINUTE_MS;

/**
 * As {@link startsIn}, for an expression that names several times a day, which croner has follow the clock on the wall: they are left
 * out of a skipped hour, and come twice in a repeated one. Asking croner for each takes 40 µs.
 */
function* wallStartsIn({ times, dayFrom }: CronCalendar, { offsetAt }: WallClock, { from, to }: TimeSpan): Generator<number> {
  const ofDay = new Set(times);
  const isNamed = kept((day: number) => dayFrom(day) === day);
  for (let quarter = Math.floor(from / QUARTER_MS) * QUARTER_MS; quarter < to; quarter += QUARTER_MS) {
    const offset = offsetAt(quarter);
    for (let at = quarter; at < quarter + QUARTER_MS; at += MINUTE_MS) {
      const day = Math.floor((at + offset) / DAY_MS);
      if (at >= from && at < to && ofDay.has(at + offset - day * DAY_MS) && isNamed(day)) yield at;
    }
  }
}
