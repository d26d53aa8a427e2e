/** Lowest and highest number of each field, the largest step, and the names that stand for numbers. */
const FIELDS = [
  { min: 0, max: 59, maxStep: 60, names: [] },
  { min: 0, max: 23, maxStep: 24, names: [] },
  { min: 1, max: 31, maxStep: 31, names: [] },
  { min: 1, max: 12, maxStep: 12, names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] },
  { min: 0, max: 7, maxStep: 7, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
] as const;
type Field = (typeof FIELDS)[number];

/** Five fields: minute, hour, day of the month, month, weekday. Each is a list of `*`, numbers and ranges, which may have a step. */
export function isCron(text: string): boolean {
  const fields = text.trim().split(/\s+/);
  return fields.length === FIELDS.length && FIELDS.every((field, index) => (fields[index] ?? '').split(',').every((part) => isPart(field, part)));
}

function isPart(field: Field, part: string): boolean {
  const [, span = '', step] = /^([^/]+)(?:\/(\d{1,2}))?$/.exec(part) ?? [];
  // A step of a single number means different things to different programs.
  const isStepped = step !== undefined;
  if (isStepped && (Number(step) < 1 || Number(step) > field.maxStep)) return false;
  if (span === '*') return true;
  const [from = '', to, ...more] = span.split('-');
  const [first, last] = [numberOf(field, from), numberOf(field, to ?? from)];
  if (more.length > 0 || first === undefined || last === undefined) return false;
  return to === undefined ? !isStepped : first <= last;
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
