import { HostView, type HostName } from '@floe/protocol';
import { FloeError, isFloeError } from '@floe/runtime';
import * as v from 'valibot';
import type { ApiClient } from './api-client.ts';

const MAX_SUGGESTIONS = 3;

/** Does `work` for a host. If the server does not know the host, the error suggests similar names. */
export async function suggestingHosts<T>(api: ApiClient, name: HostName, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isFloeError(error, 'NOT_FOUND')) throw error;
    const names = await hostNames(api);
    // The server knows the host: something else was not found, which its message names.
    if (names.includes(name)) throw error;
    throw new FloeError('NOT_FOUND', `there is no host ${name}; ${suggestion(name, names)}`, { data: error.data, cause: error });
  }
}

/** The hosts of the newest revision. */
export async function hostNames(api: ApiClient): Promise<readonly string[]> {
  return (await api.get('/api/hosts', v.array(v.pick(HostView, ['host'])))).map(({ host }) => host);
}

/** "did you mean ada?"; without similar names, how to list all. */
export function suggestion(name: string, names: readonly string[]): string {
  const near = nearest(name, names);
  return near.length === 0 ? 'floe hosts lists them' : `did you mean ${near.join(' or ')}?`;
}

/** Names within a typo, nearest first. */
export function nearest(name: string, names: readonly string[]): readonly string[] {
  const limit = Math.max(1, Math.floor(name.length / 3));
  return names
    .map((candidate) => ({ candidate, distance: distanceOf(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .toSorted((a, b) => a.distance - b.distance || a.candidate.localeCompare(b.candidate, 'en', { numeric: true }))
    .slice(0, MAX_SUGGESTIONS)
    .map(({ candidate }) => candidate);
}

/** Names that differ in upper and lower case alone are next to each other. */
function distanceOf(name: string, candidate: string): number {
  return name !== candidate && candidate.startsWith(name) ? 1 : editDistance(name, candidate);
}

/** How many letters must be added, left out, replaced or swapped with their neighbour (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1];
      let best = Math.min((row[j - 1] ?? 0) + 1, (last[j] ?? 0) + 1, (last[j - 1] ?? 0) + (isSame ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
