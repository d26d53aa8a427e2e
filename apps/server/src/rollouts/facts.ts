import type { HostName, RolloutFacts } from '@floe/model';
import type { CurrentRollout, FleetHost, Rollout } from '@floe/store';
import { ringHosts } from './ring-hosts.ts';
import { windowFacts } from './windows.ts';

/** All that a decision about the rollout is made from, and all that people are told about it. `hosts`: all of the repository. */
export function rolloutFacts({ policy, course, orders, rings }: CurrentRollout, hosts: readonly FleetHost[], now: number): RolloutFacts {
  return {
    policy,
    hosts: ringHosts(hosts, ringIn(rings), now),
    windows: windowFacts(policy, course, now),
    orders,
    authors: undefined,
    weaker: [],
  };
}

/** The ring of each host. One that joined after the last decision is in none yet. */
export function ringIn(rings: Rollout['rings']): (host: HostName) => number {
  return (host) => (rings === undefined ? 0 : (rings.get(host) ?? Number.POSITIVE_INFINITY));
}
