export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/**
 * One for each zone and form that was asked for: a new one takes tens of kilobytes outside of the heap, where an idle
 * process does not notice that they pile up.
 */
const formats = new Map<string, Intl.DateTimeFormat>();
const MAX_FORMATS = 32;

/**
 * A time for people, with its zone, as the reader may be elsewhere: `Tue 02:00 Europe/Berlin`, with the day of the month
 * when the weekday alone could be another week's.
 */
export function describeTime(at: number, now: number, timeZone: string): string {
  const isNear = Math.abs(at - now) < 6 * DAY_MS;
  const parts = formatFor(timeZone, isNear).formatToParts(at);
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.find((each) => each.type === type)?.value ?? '';
  const day = isNear ? '' : ` ${part('day')} ${part('month')} ${part('year')}`;
  return `${part('weekday')}${day} ${part('hour')}:${part('minute')} ${timeZone}`;
}

function formatFor(timeZone: string, isNear: boolean): Intl.DateTimeFormat {
  const key = `${timeZone} ${isNear}`;
  const known = formats.get(key);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    ...(isNear ? {} : { day: 'numeric', month: 'short', year: 'numeric' }),
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  if (formats.size >= MAX_FORMATS) formats.clear();
  formats.set(key, format);
  return format;
}
