import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Of a route: it leads over a router. */
const RTF_GATEWAY = 0x2;
/** Of an entry of the ARP table: the hardware address is known. */
const ATF_COM = 0x2;
/** As many routers are kept in the journal at most. */
const MAX_ROUTERS = 8;

/**
 * The hardware addresses of the routers to everywhere, by which a network is known again: `192.168.1.1` is in many homes. Only of IPv4; empty:
 * there is none, or it is not known.
 */
export async function readRouters(proc = '/proc'): Promise<readonly string[]> {
  const [routes, neighbours] = await Promise.all([tableOf(join(proc, 'net/route')), readNeighbours(proc)]);
  const found = new Set<string>();
  for (const [, destination, gateway, flags, , , , mask] of routes) {
    if (destination !== '00000000' || mask !== '00000000' || gateway === undefined || !(Number.parseInt(flags ?? '', 16) & RTF_GATEWAY)) continue;
    const address = neighbours.get(addressOf(gateway));
    if (address !== undefined) found.add(address);
  }
  return [...found].toSorted().slice(0, MAX_ROUTERS);
}

/** Whether one of these routers is still beside the machine, also where another way leads out now, such as a VPN. */
export async function isBesideRouter(routers: readonly string[], proc = '/proc'): Promise<boolean> {
  if (routers.length === 0) return false;
  const neighbours = new Set((await readNeighbours(proc)).values());
  return routers.some((router) => neighbours.has(router));
}

/** IPv4 address → hardware address. */
async function readNeighbours(proc: string): Promise<ReadonlyMap<string, string>> {
  const entries = await tableOf(join(proc, 'net/arp'));
  return new Map(
    entries.flatMap(([address, , flags, hardware]): [string, string][] =>
      address === undefined || hardware === undefined || !(Number.parseInt(flags ?? '', 16) & ATF_COM) ? [] : [[address, hardware.toLowerCase()]],
    ),
  );
}

/** The rows of a table of the kernel, without its heading. */
async function tableOf(path: string): Promise<readonly (readonly string[])[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/));
}

/** The kernel writes the bytes of an address backwards. */
function addressOf(hex: string): string {
  return [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.');
}
