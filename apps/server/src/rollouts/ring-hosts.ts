import { isBrieflyAway, isLost, progressOf, type HostName, type RingHost } from '@floe/model';
import { lastWordOf, type FleetHost } from '@floe/store';

/** The hosts of a rollout, as its gates see them: those with a release in it. */
export function ringHosts(hosts: readonly FleetHost[], ringOf: (host: HostName) => number, now: number): readonly RingHost[] {
  return hosts.flatMap((each) => toRingHost(each, ringOf(each.row.host), now) ?? []);
}

function toRingHost({ row, situation, quarantines, acknowledged }: FleetHost, ring: number, now: number): RingHost | undefined {
  const { pin, hold, rollout, stable } = situation;
  if (rollout === undefined) return undefined;
  const { toplevel } = rollout;
  const lastWord = lastWordOf(row);
  const isQuarantined = situation.quarantined.has(toplevel);
  const facts = { ...lastWord, isConnected: row.isConnected, toplevel, isQuarantined, went: row.went };
  const isIn = row.publicKey !== undefined && row.revokedAt === undefined && row.clonedAt === undefined && row.unreadable === undefined;
  const isKeptElsewhere = pin !== undefined || hold !== undefined || lastWord.isOverridden;
  const progress = progressOf(facts, now);
  const said = row.stateToplevel === toplevel ? row.detail?.message : undefined;
  return {
    host: row.host,
    ring,
    toplevel,
    platform: row.system,
    isEligible: isIn && !isKeptElsewhere && toplevel !== stable?.toplevel,
    progress,
    isBrieflyAway: isBrieflyAway(row.lastSeenAt ?? row.enrolledAt, now),
    failure:
      progress !== 'failed'
        ? undefined
        : isLost(facts, now)
          ? 'came to no verdict in time after it began'
          : (quarantines.find((some) => some.toplevel === toplevel)?.reason ?? said),
    isAcknowledged: acknowledged.has(toplevel),
  };
}
