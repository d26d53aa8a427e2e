import { DAY_MS } from './cron.ts';
import { kept } from './kept.ts';

/** The clocks of a time zone. Days are numbered from 1970-01-01, as a calendar there shows them. */
export interface WallClock {
  /** How far its clocks are before UTC, ms. */
  readonly offsetAt: (at: number) => number;
  dayOf(at: number): number;
  /** When a day begins. */
  midnight(day: number): number;
  /** True when its clocks do not change on this day: it has 24 hours from midnight. */
  isOrdinary(day: number): boolean;
}

/** What is found out about a time zone is asked for again at each look at a fleet, and slow. */
export const wallClockOf: (timeZone: string) => WallClock = kept(makeWallClock);

function makeWallClock(timeZone: string): WallClock {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    era: 'short',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });

  function offsetAt(at: number): number {
    const parts: Record<string, string> = {};
    for (const { type, value } of format.formatToParts(at)) parts[type] = value;
    const number = (name: string): number => Number(parts[name]);
    const year = parts['era'] === 'BC' ? 1 - number('year') : number('year');
    const wall = new Date(0);
    // Not Date.UTC(), which takes the years 0 to 99 for 1900 to 1999.
    wall.setUTCFullYear(year, number('month') - 1, number('day'));
    wall.setUTCHours(number('hour'), number('minute'), number('second'));
    return wall.getTime() - Math.floor(at / 1000) * 1000;
  }

  const midnight = kept((day: number): number => {
    const near = day * DAY_MS - offsetAt(day * DAY_MS);
    return day * DAY_MS - offsetAt(near);
  });

  return {
    offsetAt,
    dayOf: (at) => Math.floor((at + offsetAt(at)) / DAY_MS),
    midnight,
    isOrdinary: kept((day: number): boolean => {
      const begin = midnight(day);
      return offsetAt(begin) === offsetAt(begin + DAY_MS);
    }),
  };
}
