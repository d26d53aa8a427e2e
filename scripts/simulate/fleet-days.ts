import type { Random } from './random.ts';
import type { SimulatedHost } from './simulated-host.ts';
import type { Timeline } from './timeline.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A Monday. */
export const START = Date.UTC(2026, 2, 2);
/** Two days on which nobody works. */
const HOLIDAYS: ReadonlySet<number> = new Set([10, 11]);

export function dayKind(day: number): 'workday' | 'weekend' | 'holiday' {
  if (HOLIDAYS.has(day)) return 'holiday';
  return day % 7 < 5 ? 'workday' : 'weekend';
}

export function isWorkday(day: number): boolean {
  return dayKind(day) === 'workday';
}

/** Where the machines are, with the hours by which their mornings are earlier. */
export const ZONES: Readonly<Record<string, number>> = { 'Europe/Berlin': 1, 'America/New_York': -5, 'Asia/Kolkata': 5.5 };

/** When laptops are open: at office hours, but for one person in ten each day, and a few who look in at the weekend. */
export function planPresence(hosts: readonly SimulatedHost[], days: number, timeline: Timeline, random: Random, from = START): void {
  for (const host of hosts) {
    if (!host.isLaptop) {
      timeline.at(from, () => host.wake());
      continue;
    }
    for (let day = 0; day < days; day += 1) {
      if (!random.chance(isWorkday(day) ? 0.9 : 0.03)) continue;
      const open = START + day * DAY + random.between(7.5, 10) * HOUR - (ZONES[host.timeZone] ?? 0) * HOUR;
      if (open < from) continue;
      timeline.at(open, () => host.wake());
      timeline.at(open + random.between(4, 9) * HOUR, () => host.sleep());
    }
  }
}

export interface Push {
  readonly at: number;
  readonly isBad: boolean;
  readonly isHotfix: boolean;
  /** Of a bad one: hosts take it, and what is measured of them gets worse. Only a probe sees that. */
  readonly regresses: boolean;
  /** Two administrators want it at once: over the success gates, too. */
  readonly isNow: boolean;
  /** Which value of the policy it changes, and to which of the others: numbers from 0 to 1. Undefined: none. */
  readonly policy: readonly [number, number] | undefined;
  /** What it does to the list of hosts: which of it, to which host, and how, as numbers from 0 to 1. Undefined: nothing. */
  readonly edit: readonly [number, number, number] | undefined;
  /** Which part of the fleet it changes. */
  readonly reach: 'all' | 'laptops' | 'servers' | 'few';
}

const PLAIN = { regresses: false, isNow: false, policy: undefined, edit: undefined } as const;

/** A run of fewer days has its bad revision on the first of them. */
const SHORT_DAYS = 4;

/** One or two commits on a workday. Every tenth is bad, and most of those are followed by an urgent fix in the middle of it. */
export function planPushes(days: number, random: Random): readonly Push[] {
  const badOne = days < SHORT_DAYS ? 1 : 4;
  const pushes: Push[] = [{ at: START + HOUR, isBad: false, isHotfix: false, ...PLAIN, reach: 'all' }];
  for (let day = 0; day < days; day += 1) {
    if (!isWorkday(day)) continue;
    for (let count = random.chance(0.4) ? 2 : 1; count > 0; count -= 1) {
      const at = START + day * DAY + random.between(9, 17) * HOUR;
      const isBad = pushes.length % 10 === badOne;
      const reach = isBad ? 'all' : (['all', 'laptops', 'servers', 'few'] as const)[Math.floor(random.next() * 4)];
      const policy = random.chance(0.25) ? ([random.next(), random.next()] as const) : undefined;
      const edit = random.chance(0.5) ? ([random.next(), random.next(), random.next()] as const) : undefined;
      pushes.push({ at, isBad, isHotfix: false, ...PLAIN, regresses: isBad && random.chance(0.3), policy, edit, reach: reach ?? 'all' });
      if (isBad && random.chance(0.7))
        pushes.push({ at: at + random.between(15, 50) * MINUTE, isBad: false, isHotfix: true, ...PLAIN, isNow: random.chance(0.4), reach: 'all' });
    }
  }
  return pushes.toSorted((one, other) => one.at - other.at);
}
