import { BlockList, isIP, isIPv4 } from 'node:net';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * Whether a URL's host is this machine: `localhost`, or a numeric loopback address. A name that only looks like one
 * (`127.evil.example`) is not.
 */
export function isLoopback(hostname: string): boolean {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (bare === 'localhost') return true;
  const family = isIP(bare);
  return family !== 0 && LOOPBACK.check(bare, family === 4 ? 'ipv4' : 'ipv6');
}

/** Whether others on the network can read what is sent to this URL: it is unencrypted, and not to this machine. */
export function isSentInClear(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return (protocol === 'http:' || protocol === 'ws:') && !isLoopback(hostname);
}

/**
 * The key under which a client is counted: an IPv4 address, or the /64 network of an IPv6 address. (A household or a server is
 * assigned a whole /64, so single addresses in it cost nothing.)
 */
export function addressGroup(address: string | undefined): string {
  const bare = (address ?? '').replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '');
  if (isIP(bare) === 0) return 'unknown';
  if (isIPv4(bare)) return bare;
  const [head = '', tail] = bare.split('::');
  const parts = head.split(':');
  if (tail !== undefined) while (parts.length < 8 - tail.split(':').length) parts.push('0');
  return `${parts
    .slice(0, 4)
    .map((part) => part.replace(/^0+(?=.)/, '') || '0')
    .join(':')}::/64`;
}
