import type { RolloutFacts } from '@floe/model';
import { ringHosts, type CurrentRollout, type FleetHost } from '@floe/store';
import { windowFacts } from './windows.ts';

/** All that a decision about the rollout is made from, and all that people are told about it. `hosts`: all of the repository. */
export function rolloutFacts(rollout: CurrentRollout, hosts: readonly FleetHost[], now: number): RolloutFacts {
  const { policy, course, orders, people, weaker = [] } = rollout;
  return {
    policy,
    hosts: ringHosts(rollout, hosts, now),
    windows: windowFacts(policy, course, now),
    orders,
    authors: people?.unmapped.length === 0 ? people.authors : undefined,
    hasOtherAdministrator: people?.hasOtherAdministrator === true,
    weaker,
  };
}
