import type { HostName, StorePath } from '@floe/model';
import type { Context } from 'hono';
import { refuse } from '../http-error.ts';

/** Keeps a system in the cache until it is written down who needs it. False: the cache does not have it. */
export type KeepInCache = (toplevel: StorePath) => Promise<boolean>;

/** A host cannot be sent to a system that it could not download. */
export function notInCache(c: Context, host: HostName, name: string, toplevel: StorePath) {
  return refuse(
    c,
    409,
    'NOT_IN_CACHE',
    `the system of ${name} left the cache, because nobody needed it: pin ${host} to its store path, which publishes it again if the server's own store still has it (an administrator's floe pin ${host} --store-path ${toplevel} --reason "…"); or push a commit that makes it again`,
  );
}
