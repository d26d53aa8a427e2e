import { HOST_TIME_ZONE, MAX_CRON_CHARACTERS, MAX_TIME_ZONE_CHARACTERS, nearest } from '@floe/model';

/** Lowest and highest number of each field, the largest step, and the names that stand for numbers. */
const FIELDS = [
  { of: 'minute', min: 0, max: 59, maxStep: 60, names: [] },
  { of: 'hour', min: 0, max: 23, maxStep: 24, names: [] },
  { of: 'day of the month', min: 1, max: 31, maxStep: 31, names: [] },
  { of: 'month', min: 1, max: 12, maxStep: 12, names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] },
  { of: 'weekday', min: 0, max: 7, maxStep: 7, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
] as const;
type Field = (typeof FIELDS)[number];

const PRINTABLE = /^[\x20-\x7E]*$/;
const MAX_SHOWN = 20;

export const CRON_RULE = 'is not a cron expression of five fields, as in "0 22 * * mon-fri"';

/**
 * Five fields: minute, hour, day of the month, month, weekday. Each is a list of `*`, numbers and ranges, which may have a step. What is
 * wrong with it, as the rest of a sentence that begins with it; undefined: nothing.
 */
export function cronProblem(text: string): string | undefined {
  if (text.length > MAX_CRON_CHARACTERS || !PRINTABLE.test(text)) return CRON_RULE;
  const fields = text.trim().split(/\s+/);
  if (fields.length !== FIELDS.length) return `${CRON_RULE}: it has ${fields.length}`;
  const wrong = FIELDS.flatMap((field, index) => (fields[index] ?? '').split(',').map((part) => ({ field, part, why: partProblem(field, part) })));
  const first = wrong.find(({ why }) => why !== undefined);
  return first === undefined ? undefined : `has "${first.part.slice(0, MAX_SHOWN)}" as its ${first.field.of}: ${first.why}`;
}

function partProblem(field: Field, part: string): string | undefined {
  const [, span = '', step] = /^([^/]+)(?:\/(\d{1,2}))?$/.exec(part) ?? [];
  if (step !== undefined && (Number(step) < 1 || Number(step) > field.maxStep)) return `a step is 1 to ${field.maxStep}`;
  if (span === '*') return undefined;
  const [from = '', to, ...more] = span.split('-');
  const [first, last] = [numberOf(field, from), numberOf(field, to ?? from)];
  if (more.length > 0 || first === undefined || last === undefined) return rangeWords(field);
  // A step of a single number means different things to different programs.
  if (to === undefined) return step === undefined ? undefined : `only * and a range can have a step, as in */${step}`;
  return first <= last ? undefined : `a range goes upwards: write two with a comma, ${from}-${field.max},${field.min}-${to}`;
}

function rangeWords({ min, max, names }: Field): string {
  const named = names.length === 0 ? '' : `, or ${names[0]} to ${names.at(-1)}`;
  return `it can be *, ${min} to ${max}${named}, a range such as ${min}-${min + 1}, or several with commas`;
}

function numberOf({ min, max, names }: Field, text: string): number | undefined {
  const named = (names as readonly string[]).indexOf(text.toLowerCase());
  if (named >= 0) return min + named;
  const number = /^\d{1,2}$/.test(text) ? Number(text) : -1;
  return number >= min && number <= max ? number : undefined;
}

/** An IANA name. Offsets such as `+02:00` are none: they know no summer time. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

const TIME_ZONE_RULE = 'is not a time zone';
export const TIME_ZONE_PROBLEM = `${TIME_ZONE_RULE}: give a name such as "Europe/Berlin" or "UTC", or "host" for the one of each host`;

/** Of a window. */
export function isWindowZone(text: string): boolean {
  return text === HOST_TIME_ZONE || (text.length <= MAX_TIME_ZONE_CHARACTERS && isTimeZone(text));
}

/** What is said of one that is none, as the rest of a sentence that begins with it. It is slow: it is compared with all that there are. */
export function timeZoneProblem(text: string): string {
  const meant = meantZone(text);
  return meant === undefined ? TIME_ZONE_PROBLEM : `${TIME_ZONE_RULE}; did you mean "${meant}"?`;
}

let zones: readonly string[] | undefined;

/** Also by the city alone. Only those with the same first letter are compared letter by letter. */
function meantZone(text: string): string | undefined {
  if (text.length > MAX_TIME_ZONE_CHARACTERS) return undefined;
  zones ??= [HOST_TIME_ZONE, 'UTC', ...Intl.supportedValuesOf('timeZone')];
  const city = text.split('/').at(-1)?.replaceAll(' ', '_').toLowerCase();
  const alike = zones.filter((zone) => zone[0]?.toLowerCase() === text[0]?.toLowerCase());
  return nearest(text, alike)[0] ?? zones.find((zone) => zone.split('/').at(-1)?.toLowerCase() === city);
}
