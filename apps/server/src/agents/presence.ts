import type { HostName } from '@floe/model';
import { isFloeError, type Clock, type Logger } from '@floe/runtime';
import type { HostStore } from '@floe/store';

/** The stored presence is compared with the sockets this often. */
const RECONCILE_MS = 15_000;
/** A server that did not renew its lease for this long is gone, and so are its agents. */
const LEASE_MS = 4 * RECONCILE_MS;

export interface PresenceDeps {
  readonly hosts: Pick<HostStore, 'present' | 'reconnect' | 'disconnect' | 'renewLease' | 'expirePresence'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly serverId: string;
  /** The id of the session that the host has here at this moment. */
  readonly sessionOf: (host: HostName) => string | undefined;
  /** True while a session is not in the map, but not gone either: on its way in, or within its grace. */
  readonly isPassing: (sessionId: string) => boolean;
  readonly sessions: () => ReadonlyMap<HostName, { readonly id: string }>;
  /** The stored presence of this host was put right. */
  readonly onHostChanged: (host: HostName) => void;
}

/**
 * Brings what is stored about who is connected in line with the sockets that are really there, until `signal` aborts. A
 * write that failed while the database was away is made up for here, and so is the presence that a server left behind
 * which did not come back.
 */
export async function keepPresence(deps: PresenceDeps, signal: AbortSignal): Promise<void> {
  const { clock, logger } = deps;
  while (!signal.aborted) {
    try {
      await reconcilePresence(deps);
    } catch (error) {
      // Whatever it is about, agents are served without it, and the next look may go well.
      if (isFloeError(error) && error.retryable) logger.debug('presence waits for the database', { error });
      else logger.error('presence could not be compared with the sockets; Floe tries again', { error });
    }
    await clock.sleep(RECONCILE_MS, signal);
  }
}

/** One comparison. */
export async function reconcilePresence(deps: PresenceDeps): Promise<void> {
  const { hosts, clock, logger, serverId, sessionOf, isPassing, sessions, onHostChanged } = deps;
  await hosts.renewLease(serverId, LEASE_MS);
  const expired = await hosts.expirePresence(serverId, clock.now());
  if (expired > 0) logger.warn('hosts of a server that is gone are away', { hosts: expired });
  const stored = new Map((await hosts.present(serverId)).map(({ host, sessionId }) => [host, sessionId]));
  // Between here and the writes sessions come and go. An id that has no session now never gets one again.
  const gone = [...stored].filter(([host, sessionId]) => sessionOf(host) !== sessionId && !isPassing(sessionId));
  for (const [host, sessionId] of gone) {
    if (!(await hosts.disconnect(host, sessionId, clock.now()))) continue;
    logger.info('a host that was stored as connected is away', { host });
    onHostChanged(host);
  }
  const missing = [...sessions()].filter(([host, { id }]) => stored.get(host) !== id);
  for (const [host, { id }] of missing) {
    if (sessionOf(host) !== id || !(await hosts.reconnect(host, id, clock.now()))) continue;
    logger.info('a host that was stored as away is connected', { host });
    onHostChanged(host);
  }
}
