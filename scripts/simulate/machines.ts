import type { HostName } from '@floe/model';
import { ZONES } from './fleet-days.ts';
import type { HostMachine } from './simulated-host.ts';

/** The machines of the company, by their number: seven of ten are laptops. */
export function machineAt(index: number, hostCount: number): HostMachine & { readonly name: HostName } {
  const isLaptop = index % 10 < 7;
  const canaries = Math.max(2, Math.min(20, Math.round(hostCount / 50)));
  // Servers and laptops alike, so that there is somebody at night, too.
  const isCanary = index < canaries || (index % 10 === 9 && index < 10 * canaries);
  const labels = [isLaptop ? 'laptop' : 'server', ...(isCanary ? ['canary'] : []), ...(index % 50 === 8 ? ['dns'] : [])];
  const zones = Object.keys(ZONES);
  const timeZone = zones[index % 5 < 3 ? 0 : (index % 5) - 2] ?? 'UTC';
  return { name: `${isLaptop ? 'laptop' : 'server'}-${index}` as HostName, isLaptop, labels, timeZone };
}
