import type { RolloutState, StorePath } from '@floe/model';
import type { SimulatedHost } from './simulated-host.ts';

/** The fleet at one moment, for the drawing. Each host is counted once, but for `online`. */
export interface Sample {
  readonly at: number;
  readonly online: number;
  /** On the newest good revision. */
  readonly newest: number;
  /** Online, on an older good one: its turn has not come. */
  readonly older: number;
  readonly changing: number;
  /** Online, on an older one, with a newer one that it downloads or waits with. */
  readonly waiting: number;
  readonly failed: number;
  readonly bad: number;
  /** On an older good one. */
  readonly away: number;
  readonly state: RolloutState | undefined;
  readonly ring: number;
}

/** Where the drawing shows the host. `target`: the newest good one of it. */
export function placeOf({ runs, isOnline, isChanging, isWaiting, journal }: SimulatedHost, isBad: boolean, target: StorePath | undefined): Place {
  if (isBad) return 'bad';
  if (isChanging) return 'changing';
  if (target !== undefined && runs === target) return 'newest';
  if (!isOnline) return 'away';
  if (isWaiting) return 'waiting';
  return target !== undefined && journal.quarantined.includes(target) ? 'failed' : 'older';
}

type Place = Exclude<keyof Sample, 'at' | 'online' | 'state' | 'ring'>;

/** How many hosts are in each place, and online. */
export function countPlaces(hosts: readonly SimulatedHost[], place: (host: SimulatedHost) => Place): Readonly<Record<Place | 'online', number>> {
  const count = { online: 0, newest: 0, older: 0, changing: 0, waiting: 0, failed: 0, bad: 0, away: 0 };
  for (const host of hosts) {
    count[place(host)] += 1;
    if (host.isOnline) count.online += 1;
  }
  return count;
}
