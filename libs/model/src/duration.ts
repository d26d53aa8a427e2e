const SECOND_MS = 1_000;

/** A duration with its significant digits: "340 ms", "2.1 s", "12 s", "3 min 12 s", "2 h 5 min", "3 d 2 h". */
export function duration(ms: number): string {
  if (ms < SECOND_MS) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 9.95 * SECOND_MS) return `${(ms / SECOND_MS).toFixed(1)} s`;
  const seconds = Math.round(ms / SECOND_MS);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A configured duration: as {@link duration}, without zero parts: "3 s", "15 min", "1 h 30 min". */
export function timeLimit(ms: number): string {
  return duration(ms)
    .replace(/\.0 s$/, ' s')
    .replace(/ 0 (?:s|min|h)$/, '');
}

const UNITS_MS = { s: SECOND_MS, m: 60 * SECOND_MS, h: 3_600 * SECOND_MS, d: 24 * 3_600 * SECOND_MS } as const;
/** A number of five digits with its unit. */
const PART = /(\d{1,5})([smhd])/g;

/** The ms of a duration that a person wrote: `45s`, `30m`, `2h`, `7d`, `1h30m`. Undefined: it is none. */
export function parseDuration(text: string): number | undefined {
  if (!/^(?:\d{1,5}[smhd]){1,4}$/.test(text)) return undefined;
  return [...text.matchAll(PART)].reduce((sum, [, count, unit]) => sum + Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS], 0);
}
