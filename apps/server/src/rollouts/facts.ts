import { createHash } from 'node:crypto';
import type { RolloutFacts } from '@floe/model';
import { stableJson } from '@floe/runtime';
import { ringHosts, type CurrentRollout, type FleetHost } from '@floe/store';
import { windowFacts } from './windows.ts';

/** All that a decision about the rollout is made from, and all that people are told about it. `hosts`: all of the repository. */
export function rolloutFacts(rollout: CurrentRollout, hosts: readonly FleetHost[], now: number): RolloutFacts {
  const { policy, course, orders, probes = [], people, weaker = [] } = rollout;
  const needsApproval = weaker.length > 0 || policy.rings.some(({ approvals }) => approvals !== undefined);
  const asked = ringHosts(rollout, hosts, now);
  return {
    policy,
    hosts: asked,
    windows: windowFacts(policy, course, asked, now),
    orders,
    probes,
    binds: needsApproval ? bindsOf(rollout, hosts) : undefined,
    authors: people?.unmapped.length === 0 ? people.authors : undefined,
    hasOtherAdministrator: people?.hasOtherAdministrator === true,
    weaker,
  };
}

/** Of the policy and of each host's system: with another of these, another thing is approved. */
function bindsOf({ policy }: CurrentRollout, hosts: readonly FleetHost[]): string {
  const systems = hosts.flatMap(({ row: { host }, situation: { rollout } }) => (rollout === undefined ? [] : [`${host} ${rollout.toplevel}`]));
  const hash = createHash('sha256').update(stableJson(policy));
  for (const each of systems.toSorted()) hash.update(`\n${each}`);
  return hash.digest('base64url');
}
