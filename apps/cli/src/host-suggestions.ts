import { nearest } from '@floe/model';
import { HostView, type HostName } from '@floe/protocol';
import { FloeError, isFloeError } from '@floe/runtime';
import * as v from 'valibot';
import type { ApiClient } from './api-client.ts';

/** Does `work` for a host. If the server does not know the host, the error suggests similar names. */
export async function suggestingHosts<T>(api: ApiClient, name: HostName, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isFloeError(error, 'NOT_FOUND') || error.data['serverCode'] === 'HOST_RENAMED') throw error;
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
