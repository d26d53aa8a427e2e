import { AWAY_GRACE_MS, beginRollout, VERDICT_MS, type HostName, type StorePath } from '@floe/model';
import type { CurrentRollout, FleetHost } from '@floe/store';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { anyHost, other, toHost, wanted } from '../test/any-fleet.ts';
import { policyOfRings, rolloutAt } from '../test/rollouts.ts';
import { KnownFacts, rolloutFacts } from './facts.ts';

const NOW = 1_790_000_000_000;

/** What decides, and time can make another answer of: so far from `NOW`. */
const anySince = fc.constantFrom(undefined, 0, 1, 1_000, AWAY_GRACE_MS, VERDICT_MS);
const anyFacts = fc.record({
  facts: anyHost,
  silentMs: anySince,
  wentUntilIn: anySince,
  stateForMs: anySince,
  isOfStable: fc.boolean(),
  isIn: fc.boolean(),
  isQuarantined: fc.boolean(),
  isKept: fc.boolean(),
});
type Facts = typeof anyFacts extends fc.Arbitrary<infer Some> ? Some : never;

function toFleetHost({ facts, silentMs, wentUntilIn, stateForMs, isOfStable, isIn, isQuarantined, isKept }: Facts, index: number): FleetHost {
  const { row, desired } = toHost(facts, index);
  const { host } = row;
  const release = { id: 'r', host, sequence: 2, toplevel: wanted };
  const stable = isOfStable ? { id: 's', host, sequence: 1, toplevel: other } : undefined;
  const quarantines = isQuarantined ? [{ host, toplevel: other, sequence: 2, reason: 'why', at: 1 }] : [];
  return {
    row: {
      ...row,
      lastSeenAt: silentMs === undefined ? undefined : NOW - silentMs,
      stateSince: stateForMs === undefined ? undefined : NOW - stateForMs,
      went: wentUntilIn === undefined ? undefined : { toplevel: wanted, until: NOW + wentUntilIn },
    },
    situation: {
      pin: undefined,
      hold: isKept ? release : undefined,
      isRingPromoted: true,
      rollout: isIn ? release : undefined,
      stable,
      directed: undefined,
      quarantined: new Set(quarantines.map(({ toplevel }) => toplevel)),
    },
    desired,
    quarantines,
    desiredCommit: undefined,
    acknowledged: new Set(),
  };
}

// Somebody is to approve: what that binds is a fact, too.
const ROLLOUT = rolloutAt({ ...beginRollout(1), state: 'ROLLING' }, policyOfRings(['canaries', 'all']), { weaker: [{ text: 'why', id: 'why' }] });

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ does: fc.constant('host' as const), index: fc.nat(5), facts: anyFacts }) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant('time' as const),
      // A clock that is set moves by any of these, too.
      ms: fc.constantFrom(0, 1, 2, 999, 1_000, AWAY_GRACE_MS, VERDICT_MS, -1, -1_000, -AWAY_GRACE_MS, -VERDICT_MS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('ring' as const), index: fc.nat(5), ring: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('leave' as const), index: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('join' as const), index: fc.nat(5), facts: anyFacts }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('coming' as const), index: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constantFrom('revision' as const, 'policy' as const) }) },
);

test('O37: facts from what the last look knew are those that are made again, whatever happened between two looks', () => {
  fc.assert(
    fc.property(fc.array(anyFacts, { minLength: 1, maxLength: 6 }), fc.array(step, { maxLength: 20 }), (first, steps) => {
      const known = new KnownFacts();
      let hosts = first.map(toFleetHost);
      let [rollout, now] = [ROLLOUT, NOW];
      const look = (): void => expect(rolloutFacts(rollout, hosts, now, known)).toEqual(rolloutFacts(rollout, hosts, now));
      look();
      const changed = (changes: Partial<CurrentRollout>): CurrentRollout => Object.assign({}, rollout, changes);
      for (const each of steps) {
        if (each.does === 'time') now += each.ms;
        else if (each.does === 'host') hosts = hosts.map((host, index) => (index === each.index ? toFleetHost(each.facts, index) : host));
        else if (each.does === 'ring') rollout = changed({ rings: new Map(rollout.rings).set(`ws${each.index}` as HostName, each.ring) });
        else if (each.does === 'leave') hosts = hosts.filter((_, index) => index !== each.index);
        else if (each.does === 'join') hosts = hosts.toSpliced(each.index, 0, toFleetHost(each.facts, 6 + each.index));
        else if (each.does === 'coming') {
          const toplevel = `/nix/store/${'c'.repeat(32)}-system-${rollout.coming?.size ?? 0}` as StorePath;
          rollout = changed({ coming: new Map(rollout.coming).set(`ws${each.index}` as HostName, toplevel) });
        } else if (each.does === 'revision') rollout = changed({ revisionId: `${rollout.revisionId}'` });
        else rollout = changed({ policy: Object.assign({}, rollout.policy, { maxInFlight: (rollout.policy.maxInFlight ?? 0) + 1 }) });
        look();
      }
    }),
    { numRuns: 200 },
  );
});

test('a host that was not read again is not judged again', () => {
  const known = new KnownFacts();
  const hosts = fc.sample(anyFacts, { numRuns: 20, seed: 1 }).map((facts, index) => toFleetHost({ ...facts, isIn: true }, index));
  const first = rolloutFacts(ROLLOUT, hosts, NOW, known).hosts;
  const news = hosts.map((host, index) => (index === 3 ? { ...host } : host));
  const second = rolloutFacts(ROLLOUT, news, NOW, known).hosts;
  expect(second.flatMap((host, index) => (host === first[index] ? [] : [index]))).toEqual([3]);
});
