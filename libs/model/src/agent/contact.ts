/** What a new connection shows. */
export type Contact =
  /** The server's newest directive passes the checks of this system. */
  | 'trusted'
  /** The server answers, but refuses this agent, or this system would refuse its directives. */
  | 'refused'
  /** The server answers, and has sent no directive. */
  | 'silent'
  /** The server cannot be reached, but one of the caches answers. */
  | 'network'
  /** Somebody else answers in place of the server and the caches: a captive portal, a proxy, a DNS server that lies. */
  | 'elsewhere'
  /** Nobody answers. */
  | 'none';

/** What differs from before the switch. */
export interface WayThere {
  readonly isSameServer: boolean;
  readonly hasSameCaches: boolean;
  readonly hasSameProxy: boolean;
}

/**
 * What contact says about a system that passed its own checks. 'kept': it is neither proved nor at fault as far as can be seen, and the
 * agent goes on looking. A network that leads elsewhere proves nothing, as long as the system did not itself change where it asks.
 */
export function judgeContact(contact: Exclude<Contact, 'refused'>, way: WayThere): 'proved' | 'kept' | 'lost' {
  switch (contact) {
    case 'trusted':
      return 'proved';
    case 'silent':
      return 'kept';
    case 'network':
      return way.isSameServer ? 'kept' : 'lost';
    case 'elsewhere':
      return way.isSameServer && way.hasSameCaches && way.hasSameProxy ? 'kept' : 'lost';
    case 'none':
      return 'lost';
  }
}

/** Whether what the previous system finds counts against the one that lost contact. `hadNetwork`: somebody answered that one. */
export function isContactBack(contact: Contact, { hadNetwork }: { readonly hadNetwork: boolean }): boolean {
  if (contact === 'none' || contact === 'elsewhere') return false;
  return contact !== 'network' || !hadNetwork;
}

/** Where a machine is while its server is missed, by who answers at the caches. */
export type Whereabouts =
  /** A cache answers. */
  | 'network'
  /** Somebody else answers, in the network in which the server was reached before. */
  | 'same-elsewhere'
  /** Somebody else answers, in another network, or in one that is not known. */
  | 'other-elsewhere'
  | 'nowhere';

/** Somebody else's answers in another network count against a system only this long after its commit, in ms. */
export const ELSEWHERE_MS = 24 * 3600_000;

/**
 * Whether a server that was missed for `missedMs` awake, and without a break, counts against the system. By the clock, the system was
 * committed `committedMs` ago: negative where that was set back.
 */
export function isMissedTooLong(
  whereabouts: Whereabouts,
  { missedMs, committedMs, limitMs }: { readonly missedMs: number; readonly committedMs: number; readonly limitMs: number },
): boolean {
  if (limitMs === 0 || whereabouts === 'nowhere' || missedMs < limitMs) return false;
  return whereabouts !== 'other-elsewhere' || Math.abs(committedMs) >= ELSEWHERE_MS;
}
