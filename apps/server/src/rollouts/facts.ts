import { createHash } from 'node:crypto';
import { isBrieflyAway, ringIn, type ComingHost, type HostName, type RolloutFacts, type StorePath } from '@floe/model';
import { stableJson } from '@floe/runtime';
import { KnownRingHosts, ringHosts, takesPart, type CurrentRollout, type FleetHost } from '@floe/store';
import { windowFacts } from './windows.ts';

/** What the facts were made from at the last look, so that what is as it was is not made again. */
export class KnownFacts {
  readonly ringHosts = new KnownRingHosts();
  #bound: { readonly policy: string; readonly systems: readonly System[]; readonly binds: string } | undefined;

  bindsOf(rollout: CurrentRollout, hosts: readonly FleetHost[]): string {
    const policy = stableJson(rollout.policy);
    if (this.#bound?.policy === policy && areStill(this.#bound.systems, rollout, hosts)) return this.#bound.binds;
    const systems = boundSystems(rollout, hosts);
    this.#bound = { policy, systems, binds: hashOf(policy, systems) };
    return this.#bound.binds;
  }
}

/**
 * All that a decision about the rollout is made from, and all that people are told about it. `hosts`: all of the repository. `known`: of who
 * asks every few seconds.
 */
export function rolloutFacts(rollout: CurrentRollout, hosts: readonly FleetHost[], now: number, known?: KnownFacts): RolloutFacts {
  const { policy, course, orders, probes = [], people, weaker = [] } = rollout;
  const needsApproval = weaker.length > 0 || policy.rings.some(({ approvals }) => approvals !== undefined);
  const asked = known === undefined ? ringHosts(rollout, hosts, now) : known.ringHosts.of(rollout, hosts, now);
  return {
    policy,
    hosts: asked,
    coming: comingOf(rollout, hosts, now),
    evaluating: rollout.evaluating?.size,
    windows: windowFacts(policy, course, asked, now),
    orders,
    probes,
    binds: needsApproval ? (known?.bindsOf(rollout, hosts) ?? bindsOf(rollout, hosts)) : undefined,
    authors: people?.authors ?? [],
    hasUnknownAuthor: hasUnknownAuthor(people),
    hasOtherAdministrator: people?.hasOtherAdministrator === true,
    weaker,
  };
}

/** Of a push that nobody told of, of a login and of a signer that belong to no token, the author may be anybody. */
function hasUnknownAuthor(people: CurrentRollout['people']): boolean {
  return people === undefined || people.isUntold || people.unmapped.length > 0 || people.unmappedSigners.length > 0;
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
function bindsOf(rollout: CurrentRollout, hosts: readonly FleetHost[]): string {
  return hashOf(stableJson(rollout.policy), boundSystems(rollout, hosts));
}

interface System {
  readonly host: HostName;
  readonly toplevel: StorePath;
}

function systemOf({ coming }: CurrentRollout, { row, situation }: FleetHost): StorePath | undefined {
  return coming?.get(row.host) ?? situation.rollout?.toplevel;
}

function boundSystems(rollout: CurrentRollout, hosts: readonly FleetHost[]): readonly System[] {
  return hosts.flatMap((each) => {
    const toplevel = systemOf(rollout, each);
    return toplevel === undefined ? [] : [{ host: each.row.host, toplevel }];
  });
}

/** These are what {@link boundSystems} would answer. */
function areStill(systems: readonly System[], rollout: CurrentRollout, hosts: readonly FleetHost[]): boolean {
  let count = 0;
  for (const each of hosts) {
    const toplevel = systemOf(rollout, each);
    if (toplevel === undefined) continue;
    const known = systems[count];
    if (known?.host !== each.row.host || known.toplevel !== toplevel) return false;
    count += 1;
  }
  return count === systems.length;
}

function hashOf(policy: string, systems: readonly System[]): string {
  const lines = systems.map(({ host, toplevel }) => `${host} ${toplevel}`).toSorted();
  // In one piece: of 10,000 hosts a call for each takes most of a look.
  return createHash('sha256')
    .update([policy, ...lines].join('\n'))
    .digest('base64url');
}
