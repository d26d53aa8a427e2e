import { duration, type StorePath } from '@floe/model';
import type { ReportView } from '@floe/protocol';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** How long before `now` something was: "3 min ago". A time ahead of `now` (another clock) reads as just now. */
export function ago(at: number, now: number): string {
  const passedMs = now - at;
  return passedMs < 2 * SECOND_MS ? 'just now' : `${wholeUnits(passedMs)} ago`;
}

function wholeUnits(ms: number): string {
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) return `${Math.floor(ms / HOUR_MS)} h`;
  return `${Math.floor(ms / DAY_MS)} d`;
}

/** The first 8 characters of a store path's hash: enough to tell generations apart. */
export function shortHash(path: StorePath): string {
  return path.slice('/nix/store/'.length, '/nix/store/'.length + 8);
}

/** A sentence with its store paths shortened to what tells them apart, for where there is little room. */
export function withShortPaths(text: string): string {
  return text.replaceAll(/\/nix\/store\/([0-9a-z]{8})[0-9a-z]{24}(?:-[\w.+?=-]+)?/g, '$1…');
}

const UNITS = ['kB', 'MB', 'GB', 'TB'] as const;

/** In decimal units: "3.1 MB". */
export function bytesInWords(bytes: number): string {
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.95 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(1)} ${UNITS[unit]}`;
}

/** A commit as people write it. */
export function shortSha(sha: string): string {
  return sha.slice(0, 10);
}

/** A commit with its subject, as far as that is known. */
export function commitWords({ commit, subject }: { readonly commit: string; readonly subject: string | null }): string {
  return subject === null ? shortSha(commit) : `${shortSha(commit)} ${subject}`;
}

/** A state or standing as words: ROLLED_BACK and rolled-back both read "rolled back". */
export function words(state: string): string {
  return state.toLowerCase().replaceAll(/[-_]/g, ' ');
}

/** The same, as the start of a line: "Rolled back". */
export function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** "1 host", "3 hosts", "10,000 hosts" */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
}

/** The first line that says something. */
export function firstLine(text: string): string {
  return text.trimStart().split('\n', 1)[0]?.trimEnd() ?? '';
}

/** How much of a download is there, in whole percent; undefined while its size is not known. */
export function percent(progress: { readonly doneBytes: number; readonly expectedBytes: number }): number | undefined {
  if (progress.expectedBytes === 0) return undefined;
  return Math.min(100, Math.floor((100 * progress.doneBytes) / progress.expectedBytes));
}

/** A repository's address as people say it: without scheme, credentials and `.git`. */
export function repositoryName(url: string): string {
  return url
    .replace(/^[a-z+]+:\/\//, '')
    .replace(/^[^/@]*@/, '')
    .replace(/\/$/, '')
    .replace(/\.git$/, '');
}

/** "download 2.1 s, activate 340 ms" */
export function timingsText(timings: ReportView['timings']): string {
  const parts = Object.entries(timings ?? {}).flatMap(([name, ms]) => (ms === undefined ? [] : [`${name.replace(/Ms$/, '')} ${duration(ms)}`]));
  return parts.join(', ');
}

/** "2026-11-28 14:20 UTC": where nobody knows the reader's time zone. */
export function utcTime(at: number): string {
  return `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** "2026-11-28 14:20:05 UTC" */
export function utcSeconds(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** The branch that is followed; it has no name until the server of the repository said what its default branch is. */
export function branchInWords({ branch }: { readonly branch: string }): string {
  return branch === '' ? 'its default branch' : branch;
}
