import { Cron } from 'croner';
import { describeError } from './errors.ts';
import { kept } from './kept.ts';

/** croner also accepts nicknames, dates and seconds, which no policy of Floe supports. */
const FIVE_FIELDS = /^\s*\S+(?:\s+\S+){4}\s*$/;

/** The times that a cron expression of five fields names in a time zone. */
export interface CronTimes {
  readonly kind: 'times';
  /**
   * The first one after `at`; undefined: there is none. A time in a skipped hour moves to the first one after it; one in a repeated hour
   * comes once.
   */
  startAfter(at: number): number | undefined;
}

/** `said` completes a sentence that begins with the expression: "is not five fields, …". */
export interface CronMistake {
  readonly kind: 'mistake';
  readonly said: string;
}

const NO_TIME_ZONE = 'has a time zone that does not exist, name one as in "Europe/Berlin"';

export function readCron(cron: string, timeZone: string): CronTimes | CronMistake {
  if (!FIVE_FIELDS.test(cron)) return { kind: 'mistake', said: 'is not five fields, as in "0 2 * * tue"' };
  try {
    const times = cronIn(cron, timeZone);
    const startAfter = (at: number): number | undefined => times.nextRun(new Date(at))?.getTime();
    // croner looks at it only when it is asked for a time, which is slow where none ever comes.
    if (!isTimeZone(timeZone)) return { kind: 'mistake', said: NO_TIME_ZONE };
    return { kind: 'times', startAfter };
  } catch (error) {
    if (!isTimeZone(timeZone)) return { kind: 'mistake', said: NO_TIME_ZONE };
    return { kind: 'mistake', said: `cannot be read: ${describeError(error).replace(/^CronPattern: /, '')}` };
  }
}

function cronIn(cron: string, timeZone: string): Cron {
  return new Cron(cron, { timezone: timeZone, mode: '5-part', paused: true });
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** A cron expression apart from any time zone. Days are numbered from 1970-01-01, as a calendar shows them. */
export interface CronCalendar {
  /** The fields of its days. */
  readonly days: string;
  /** It names each day, so that finding one costs nothing. */
  readonly isDaily: boolean;
  /** The first day at or after `day` that it names; undefined: there is none. */
  readonly dayFrom: (day: number) => number | undefined;
  /** The times of such a day, in ms after midnight, ascending. */
  readonly times: readonly number[];
}

const MINUTES = 60;
const HOURS = 24;

/** What a field of minutes or hours that croner accepted names, ascending. Asking croner for each would take some ms for one window. */
function numbersIn(field: string, count: number): readonly number[] {
  const named = field.split(',').flatMap((part) => {
    const [span = '', step = '1'] = part.split('/');
    const [first, last = first] = span === '*' || span === '?' ? [0, count - 1] : span.split('-').map(Number);
    const numbers = [];
    for (let number = first ?? 0; number <= (last ?? 0); number += Number(step)) numbers.push(number);
    return numbers;
  });
  return [...new Set(named)].toSorted((a, b) => a - b);
}

/** What no day is found for is not asked again: croner looks for it in all years to come. */
const dayFinder = kept((days: string): CronCalendar['dayFrom'] => {
  const cron = cronIn(`0 0 ${days}`, 'UTC');
  let noneFrom = Number.POSITIVE_INFINITY;
  return (from) => {
    if (from >= noneFrom) return undefined;
    const next = cron.nextRun(new Date(from * DAY_MS - 1))?.getTime();
    if (next === undefined) noneFrom = from;
    return next === undefined ? undefined : Math.floor(next / DAY_MS);
  };
});

/** For an expression that {@link readCron} accepts. Finding days and times apart is what makes a year with 525,600 times cheap. */
export function cronCalendar(cron: string): CronCalendar {
  const [minute = '', hour = '', ...day] = cron.trim().split(/\s+/);
  const isDaily = day.every((field) => field === '*');
  const days = day.join(' ');
  const minutes = numbersIn(minute, MINUTES);
  const hours = numbersIn(hour, HOURS);
  return {
    days,
    isDaily,
    dayFrom: isDaily ? (from) => from : dayFinder(days),
    times: hours.flatMap((atHour) => minutes.map((atMinute) => atHour * HOUR_MS + atMinute * MINUTE_MS)),
  };
}
