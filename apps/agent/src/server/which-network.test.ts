import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isBesideRouter, readRouters } from './which-network.ts';

let proc: string;
beforeEach(async () => {
  proc = await mkdtemp(join(tmpdir(), 'floe-proc-'));
  await mkdir(join(proc, 'net'));
});
afterEach(async () => {
  await rm(proc, { recursive: true });
});

const HOME = '02:00:00:AA:00:01';
const ROUTES = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';
const ARP = 'IP address       HW type     Flags       HW address            Mask     Device\n';

async function isThere(routes: string, neighbours: string): Promise<void> {
  await writeFile(join(proc, 'net/route'), `${ROUTES}${routes}`);
  await writeFile(join(proc, 'net/arp'), `${ARP}${neighbours}`);
}

test('a network is known by the hardware address of its router, and not by its numbers', async () => {
  const route = 'eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n';
  await isThere(route, `192.168.1.1      0x1         0x2         ${HOME}     *        eth0\n192.168.1.9 0x1 0x2 02:00:00:aa:00:09 * eth0\n`);
  const routers = await readRouters(proc);
  expect(routers).toEqual([HOME.toLowerCase()]);
  expect(await isBesideRouter(routers, proc)).toBe(true);
  // The same numbers elsewhere.
  await isThere(route, '192.168.1.1      0x1         0x2         02:00:00:bb:00:01     *        eth0\n');
  expect(await isBesideRouter(routers, proc)).toBe(false);
  // A VPN leads out now, over the same router.
  await isThere(
    'tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n',
    `192.168.1.1      0x1         0x2         ${HOME}     *        eth0\n`,
  );
  expect([await readRouters(proc), await isBesideRouter(routers, proc)]).toEqual([[], true]);
});

test.each([
  ['no router', 'eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n', `192.168.1.1 0x1 0x2 ${HOME} * eth0\n`],
  [
    'a router that does not answer',
    'eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n',
    '192.168.1.1 0x1 0x0 00:00:00:00:00:00 * eth0\n',
  ],
  ['nothing that can be read', 'x\n\n', 'y\n'],
])('with %s no network is known, and none is the same', async (_what, routes, neighbours) => {
  await isThere(routes, neighbours);
  expect(await readRouters(proc)).toEqual([]);
  await rm(join(proc, 'net'), { recursive: true });
  expect([await readRouters(proc), await isBesideRouter([], proc), await isBesideRouter([HOME], proc)]).toEqual([[], false, false]);
});
