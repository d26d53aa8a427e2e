import { createHash } from 'node:crypto';
import { isBrieflyAway, ringIn, type ComingHost, type RolloutFacts } from '@floe/model';
import { stableJson } from '@floe/runtime';
import { ringHosts, takesPart, type CurrentRollout, type FleetHost } from '@floe/store';
import { windowFacts } from './windows.ts';

/** All that a decision about the rollout is made from, and all that people are told about it. `hosts`: all of the repository. */
export function rolloutFacts(rollout: CurrentRollout, hosts: readonly FleetHost[], now: number): RolloutFacts {
  const { policy, course, orders, probes = [], people, weaker = [] } = rollout;
  const needsApproval = weaker.length > 0 || policy.rings.some(({ approvals }) => approvals !== undefined);
  const asked = ringHosts(rollout, hosts, now);
  return {
    policy,
    hosts: asked,
    coming: comingOf(rollout, hosts, now),
    evaluating: rollout.evaluating?.size,
    windows: windowFacts(policy, course, asked, now),
    orders,
    probes,
    binds: needsApproval ? bindsOf(rollout, hosts) : undefined,
    authors: people?.unmapped.length === 0 && people.unmappedSigners.length === 0 ? people.authors : undefined,
    hasOtherAdministrator: people?.hasOtherAdministrator === true,
    weaker,
  };
}

function comingOf(rollout: CurrentRollout, hosts: readonly FleetHost[], now: number): readonly ComingHost[] | undefined {
  const { coming } = rollout;
  if (coming === undefined || coming.size === 0) return undefined;
  const ringOf = ringIn(rollout);
  // After a restart of the server its agents are back one after another: none of them is passed over meanwhile.
  const isThere = ({ isConnected, lastSeenAt, enrolledAt }: FleetHost['row']): boolean => isConnected || isBrieflyAway(lastSeenAt ?? enrolledAt, now);
  const present = new Set(hosts.filter(({ row }) => takesPart(row) && isThere(row)).map(({ row }) => row.host));
  return [...coming.keys()].map((host) => ({ host, ring: ringOf(host), isPresent: present.has(host) }));
}

/**
 * Of the policy and of each host's system, also where that is still built: with another of these, another thing is approved, and that it
 * is built changes nothing.
 */
function bindsOf({ policy, coming }: CurrentRollout, hosts: readonly FleetHost[]): string {
  const systems = hosts.flatMap(({ row: { host }, situation: { rollout } }) => {
    const toplevel = coming?.get(host) ?? rollout?.toplevel;
    return toplevel === undefined ? [] : [`${host} ${toplevel}`];
  });
  // In one piece: of 10,000 hosts a call for each takes most of a look.
  return createHash('sha256')
    .update([stableJson(policy), ...systems.toSorted()].join('\n'))
    .digest('base64url');
}
