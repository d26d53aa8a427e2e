import { kept } from '@floe/runtime';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A length of a policy, which may be a fraction, in whole ms: times that are told are whole. */
export function minutesInMs(minutes: number): number {
  return Math.round(minutes * MINUTE_MS);
}

/**
 * One per zone and form: each takes tens of kilobytes outside of the heap, where the garbage collector of an idle process does not
 * see them pile up.
 */
const formatFor = kept(
  ({ timeZone, isNear }: { readonly timeZone: string; readonly isNear: boolean }) =>
    new Intl.DateTimeFormat('en-GB', {
      timeZone,
      weekday: 'short',
      ...(isNear ? {} : { day: 'numeric', month: 'short', year: 'numeric' }),
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    }),
  ({ timeZone, isNear }) => `${timeZone} ${isNear}`,
  32,
);

/**
 * A time for messages, with its zone, as the reader may be in another one: `Tue 02:00 Europe/Berlin`. With the date when the
 * weekday alone would be ambiguous.
 */
export function describeTime(at: number, now: number, timeZone: string): string {
  const isNear = Math.abs(at - now) < 6 * DAY_MS;
  const parts = formatFor({ timeZone, isNear }).formatToParts(at);
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.find((each) => each.type === type)?.value ?? '';
  const day = isNear ? '' : ` ${part('day')} ${part('month')} ${part('year')}`;
  return `${part('weekday')}${day} ${part('hour')}:${part('minute')} ${timeZone}`;
}
