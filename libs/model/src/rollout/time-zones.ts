import type { RingWindow } from './policy.ts';
import type { RingHost } from './progress.ts';

/** In the place of a window's time zone: the one that each host's configuration has. */
export const HOST_TIME_ZONE = 'host';
/** Of a host whose configuration has none: then NixOS has it, too. */
export const DEFAULT_TIME_ZONE = 'UTC';

/** Some windows go by the time of each host. */
export function goByHostTime(windows: readonly RingWindow[]): boolean {
  return windows.some(({ timeZone }) => timeZone === HOST_TIME_ZONE);
}

/** The windows of a ring as they are for a host in this time zone. */
export function windowsIn(windows: readonly RingWindow[], hostZone: string | undefined): readonly RingWindow[] {
  const zone = hostZone ?? DEFAULT_TIME_ZONE;
  return windows.map((window) => (window.timeZone === HOST_TIME_ZONE ? { ...window, timeZone: zone } : window));
}

/**
 * The windows of a ring, once for each time zone of the hosts that it asks; of all its hosts where it asks none. The ring may begin while
 * any of them is open.
 */
export function windowsOfRing(
  windows: readonly RingWindow[],
  hosts: readonly Pick<RingHost, 'timeZone' | 'isEligible'>[],
): readonly (readonly RingWindow[])[] {
  if (!goByHostTime(windows)) return [windows];
  const eligible = hosts.filter(({ isEligible }) => isEligible);
  const zones = new Set((eligible.length > 0 ? eligible : hosts).map(({ timeZone }) => timeZone ?? DEFAULT_TIME_ZONE));
  return (zones.size === 0 ? [DEFAULT_TIME_ZONE] : [...zones].toSorted()).map((zone) => windowsIn(windows, zone));
}
