/** How much shorter than before a host list may be. */
export interface ShrinkLimit {
  readonly percent: number;
  readonly hosts: number;
}

export const DEFAULT_SHRINK: ShrinkLimit = { percent: 50, hosts: 3 };

/**
 * True when so many hosts vanished with one revision that an administrator must confirm it: all hosts, which no limit allows, or more than
 * a limit of the policy. A broken generator of the host list has this effect.
 */
export function isSuspiciousShrink(knownHosts: number, presentHosts: number, { percent, hosts }: ShrinkLimit): boolean {
  const gone = knownHosts - presentHosts;
  if (gone <= 0) return false;
  return presentHosts === 0 || (gone >= hosts && gone * 100 > percent * knownHosts);
}

/** "held when more than 50 % of the hosts are gone, and at least 3" */
export function shrinkWords({ percent, hosts }: ShrinkLimit): string {
  if (percent >= 100) return 'held only when all hosts are gone';
  const share = percent === 0 ? 'any host is gone' : `more than ${percent} % of the hosts are gone`;
  if (hosts <= 1) return `held when ${share}`;
  return percent === 0 ? `held when at least ${hosts} hosts are gone` : `held when ${share}, and at least ${hosts}`;
}
