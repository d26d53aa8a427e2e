import { BlockList, isIP, isIPv4 } from 'node:net';
import type { HttpBindings } from '@hono/node-server';
import { addressGroup } from '@floe/runtime';
import type { Context } from 'hono';

/** Maximum number of proxies in a row. Further entries of a header are not trusted. */
const MAX_HOPS = 8;

/** The client's address, grouped by {@link addressGroup}. */
export interface ClientAddresses {
  /** `peer` is the other end of the connection, `forwarded` its X-Forwarded-For. */
  of(peer: string | undefined, forwarded: string | undefined): string;
  ofRequest(c: Context): string;
}

/**
 * The client is the other end of the connection. If the operator trusts it as a proxy, the client is the last address that the
 * proxy names, and so on through all trusted proxies. From any other peer the header is only a claim: programs on this machine,
 * such as untrusted builds, connect from the loopback, too.
 */
export function trustProxies(proxies: readonly string[]): ClientAddresses {
  const trusted = new BlockList();
  for (const proxy of proxies) {
    const [address = '', prefix] = proxy.split('/');
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    if (prefix === undefined) trusted.addAddress(address, family);
    else trusted.addSubnet(address, Number(prefix), family);
  }
  const isTrusted = (address: string): boolean => trusted.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');

  function of(peer: string | undefined, forwarded: string | undefined): string {
    let address = bare(peer ?? '');
    if (forwarded === undefined || isIP(address) === 0) return addressGroup(address);
    let rest = forwarded;
    for (let hop = 0; hop < MAX_HOPS && isTrusted(address); hop += 1) {
      const comma = rest.lastIndexOf(',');
      const named = bare(rest.slice(comma + 1).trim());
      // Not an address: the last known one counts, which is a proxy's.
      if (isIP(named) === 0) break;
      address = named;
      if (comma === -1) break;
      rest = rest.slice(0, comma);
    }
    return addressGroup(address);
  }
  return {
    of,
    ofRequest: (c) => of((c.env as Partial<HttpBindings> | undefined)?.incoming?.socket.remoteAddress, c.req.header('x-forwarded-for')),
  };
}

/** For an IPv4 address seen by an IPv6 socket: the IPv4 address. */
function bare(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}
