export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/**
 * A time for people, with its zone, as the reader may be elsewhere: `Tue 02:00 Europe/Berlin`, with the day of the month
 * when the weekday alone could be another week's.
 */
export function describeTime(at: number, now: number, timeZone: string): string {
  const isNear = Math.abs(at - now) < 6 * DAY_MS;
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    ...(isNear ? {} : { day: 'numeric', month: 'short', year: 'numeric' }),
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(at);
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.find((each) => each.type === type)?.value ?? '';
  const day = isNear ? '' : ` ${part('day')} ${part('month')} ${part('year')}`;
  return `${part('weekday')}${day} ${part('hour')}:${part('minute')} ${timeZone}`;
}
