import type { HostName, RolloutFacts } from '@floe/model';
import type { CurrentRollout, FleetHost } from '@floe/store';
import { ringHosts } from './ring-hosts.ts';
import { windowFacts } from './windows.ts';

/** All that a decision about the rollout is made from, and all that people are told about it. `hosts`: all of the repository. */
export function rolloutFacts(rollout: CurrentRollout, hosts: readonly FleetHost[], now: number): RolloutFacts {
  const { policy, course, orders, weaker = [] } = rollout;
  return {
    policy,
    hosts: ringHosts(hosts, ringIn(rollout), now),
    windows: windowFacts(policy, course, now),
    orders,
    authors: undefined,
    weaker,
  };
}

/** The ring of each host. Before the first decision, and after it for one that joined later, it is in none yet. */
export function ringIn({ policy, rings }: Pick<CurrentRollout, 'policy' | 'rings'>): (host: HostName) => number {
  const first = policy.rings.length === 1 ? 0 : Number.POSITIVE_INFINITY;
  return (host) => (rings === undefined ? first : (rings.get(host) ?? Number.POSITIVE_INFINITY));
}
