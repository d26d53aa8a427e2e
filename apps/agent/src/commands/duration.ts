import { FloeError } from '@floe/runtime';

const MINUTES = { m: 1, h: 60, d: 24 * 60 } as const;

/** Whole minutes of `30m`, `2h`, `1d` or `1h30m`. Throws `FloeError('USAGE')`. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d{1,5})([mhd])/g)];
  const minutes = parts.reduce((sum, [, count, unit]) => sum + Number(count) * MINUTES[unit as keyof typeof MINUTES], 0);
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text || minutes === 0)
    throw new FloeError('USAGE', `"${text}" is not a duration: use 30m, 2h or 1d (see floe-agent later --help)`);
  return minutes;
}
