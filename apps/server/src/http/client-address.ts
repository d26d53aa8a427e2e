import { BlockList, isIP, isIPv4 } from 'node:net';
import type { HttpBindings } from '@hono/node-server';
import { addressGroup } from '@floe/runtime';
import type { Context } from 'hono';

/** Proxies that a request may have come through. What a longer header says is not believed. */
const MAX_HOPS = 8;

/** Who asks, as {@link addressGroup} groups them. */
export interface ClientAddresses {
  /** `peer` is the other end of the connection, `forwarded` its X-Forwarded-For. */
  of(peer: string | undefined, forwarded: string | undefined): string;
  ofRequest(c: Context): string;
}

/**
 * Who asks is the other end of the connection. Where the operator says that this is a proxy, it is whom the proxy names
 * last, and so on through all proxies that are trusted. From anybody else the header is only a claim: programs on this
 * machine too, such as builds of foreign code, come from the loopback.
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
      // No address: the last one that is known stays, which is a proxy's.
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

/** Of an IPv4 address that an IPv6 socket sees, the address itself. */
function bare(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}
