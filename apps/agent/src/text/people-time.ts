import { kept } from '@floe/runtime';
import type { Words } from './words/en.ts';
import { fill, type Language } from './words/languages.ts';

/** Who reads: when, in which language, and in which time zone. */
export interface Reader {
  readonly now: number;
  /** IANA name; undefined: that of the process. */
  readonly timeZone?: string | undefined;
  readonly language: Language;
}

interface Format {
  readonly formats: string;
  readonly timeZone: string | undefined;
  readonly part: 'day' | 'hour' | 'weekday' | 'date' | 'clock';
}

const PARTS: Readonly<Record<Format['part'], Intl.DateTimeFormatOptions>> = {
  day: { year: 'numeric', month: '2-digit', day: '2-digit' },
  hour: { hour: '2-digit', hourCycle: 'h23' },
  weekday: { weekday: 'long' },
  date: { day: 'numeric', month: 'long', year: 'numeric' },
  clock: { hour: '2-digit', minute: '2-digit' },
};

/** One of each kind: each takes tens of kilobytes outside of the heap. */
const formatFor = kept(
  ({ formats, timeZone, part }: Format) => new Intl.DateTimeFormat(formats, { timeZone, ...PARTS[part] }),
  ({ formats, timeZone, part }) => `${formats} ${timeZone} ${part}`,
  16,
);
const DAY_MS = 24 * 3600_000;
const EVENING_HOUR = 18;
/** Further away than this, a weekday could be the one of another week. */
const WEEK_DAYS = 6;

/** "tonight at 22:00", "tomorrow at 02:00", "on Tuesday at 02:00", else "on 4 March 2026 at 13:00"; `from`: behind "since" and the like. */
export function timeInWords(at: number, { now, timeZone, language: { words, formats } }: Reader, form: 'at' | 'from' = 'at'): string {
  const inParts = (part: Format['part'], ms = at): string =>
    // Some locales have a narrow space before AM and PM, which not every terminal shows.
    formatFor({ formats: part === 'day' || part === 'hour' ? 'sv-SE' : formats, timeZone, part })
      .format(ms)
      .replaceAll('\u{202f}', ' ');
  // Calendar days are counted in UTC, where each has 24 hours.
  const days = Math.round((Date.parse(inParts('day')) - Date.parse(inParts('day', now))) / DAY_MS);
  const template = words[form][dayOf(days, Number(inParts('hour')))];
  return fill(template, { clock: inParts('clock'), weekday: inParts('weekday'), date: inParts('date') });
}

function dayOf(days: number, hour: number): Exclude<keyof Words['at'], 'soon'> {
  if (days === 0) return hour >= EVENING_HOUR ? 'tonight' : 'today';
  if (days === 1) return 'tomorrow';
  if (days === -1) return 'yesterday';
  return days > 0 && days <= WEEK_DAYS ? 'weekday' : 'date';
}

/** The same of what is to come; "soon" where it should have been already. */
export function soonOr(at: number, reader: Reader, form: 'at' | 'from' = 'at'): string {
  return at <= reader.now ? reader.language.words[form].soon : timeInWords(at, reader, form);
}
