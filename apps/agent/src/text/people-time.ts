import { kept } from '@floe/runtime';

/** How to show times to users of the machine. */
export interface PeopleTime {
  readonly now: number;
  /** IANA name; undefined: that of the process. */
  readonly timeZone?: string | undefined;
}

/** One per zone: each takes tens of kilobytes outside of the heap. */
const formatFor = kept(
  (timeZone: string | undefined) =>
    new Intl.DateTimeFormat('en-GB', {
      timeZone,
      weekday: 'long',
      day: 'numeric',
      month: 'long',
      year: 'numeric',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    }),
  undefined,
  8,
);
const DAY_MS = 24 * 3600_000;
const EVENING_HOUR = 18;
/** Further away than this, a weekday could be the one of another week. */
const WEEK_DAYS = 6;

/** "tonight at 22:00", "tomorrow at 02:00", "on Tuesday at 02:00", else "on 4 March 2026 at 13:00". */
export function timeInWords(at: number, { now, timeZone }: PeopleTime): string {
  const then = partsOf(at, timeZone);
  const days = Math.round((dayOf(then) - dayOf(partsOf(now, timeZone))) / DAY_MS);
  const clock = `at ${then.hour}:${then.minute}`;
  if (days === 0) return `${Number(then.hour) >= EVENING_HOUR ? 'tonight' : 'today'} ${clock}`;
  if (days === 1) return `tomorrow ${clock}`;
  if (days === -1) return `yesterday ${clock}`;
  if (days > 0 && days <= WEEK_DAYS) return `on ${then.weekday} ${clock}`;
  return `on ${then.day} ${then.month} ${then.year} ${clock}`;
}

type Parts = Partial<Record<Intl.DateTimeFormatPartTypes, string>>;

function partsOf(at: number, timeZone: string | undefined): Parts {
  return Object.fromEntries(
    formatFor(timeZone)
      .formatToParts(at)
      .map(({ type, value }) => [type, value]),
  );
}

/** Calendar days are counted in UTC, where each has 24 hours. */
function dayOf({ day, month, year }: Parts): number {
  return Date.parse(`${day} ${month} ${year} UTC`);
}
