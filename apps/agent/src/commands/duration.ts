import { parseDuration } from '@floe/model';
import { FloeError } from '@floe/runtime';

const MINUTE_MS = 60_000;

/** Whole minutes of `30m`, `2h`, `1d` or `1h30m`. Throws `FloeError('USAGE')`. */
export function parseMinutes(text: string): number {
  const minutes = (parseDuration(text) ?? 0) / MINUTE_MS;
  if (minutes === 0 || !Number.isInteger(minutes))
    throw new FloeError('USAGE', `"${text}" is not a duration: use 30m, 2h or 1d (see floe-agent later --help)`);
  return minutes;
}
