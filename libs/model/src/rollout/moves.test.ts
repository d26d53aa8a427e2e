import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { HostName } from '../brands.ts';
import { assignRings } from './membership.ts';
import { hostsAsLeft, renamedRings, withKnownHosts, type KnownHost } from './moves.ts';
import { DEFAULT_POLICY, type RolloutPolicy } from './policy.ts';
import { weakeningWords } from '../test/loosened.ts';
import type { PolicyInForce } from './weaker.ts';

// Commits that each complete, or do not, between which hosts come, leave, do not evaluate and move, and rings get other names. Whoever is
// back in another ring than the last complete rollout had it in is seen to move, however many commits passed without it.

const HOSTS = ['h0', 'h1', 'h2', 'h3'] as readonly string[] as readonly HostName[];
const RINGS = 3;

/** What a commit has: the ring of each host (undefined: it is not there, or does not evaluate), and a ring that gets a new name. */
const anyCommit = fc.record({
  ringOf: fc.tuple(...HOSTS.map(() => fc.option(fc.nat({ max: RINGS - 1 }), { nil: undefined, freq: 2 }))),
  isStill: fc.boolean(),
  renames: fc.option(fc.nat({ max: RINGS - 1 }), { nil: undefined, freq: 2 }),
  hasBudgetLabel: fc.boolean(),
  isApproved: fc.boolean(),
});

function inForce(names: readonly string[], ringOf: readonly (number | undefined)[], labels: readonly string[]): PolicyInForce {
  const [ring] = DEFAULT_POLICY.rings;
  if (ring === undefined) throw new Error('the default policy has a ring');
  const policy: RolloutPolicy = { ...DEFAULT_POLICY, rings: names.map((name) => ({ ...ring, name })), budgets: [{ label: 'dns', atMost: 1 }] };
  const hosts = HOSTS.flatMap((host, index) => {
    const at = ringOf[index];
    return at === undefined ? [] : [{ host, labels, ring: names[at] }];
  });
  return { policy, hosts, assignment: assignRings(policy, hosts) };
}

/** As the store keeps it. */
function keep(known: ReadonlyMap<HostName, KnownHost>, left: readonly KnownHost[], renamed: ReadonlyMap<string, string>) {
  const older = [...known.values()].map((each) => ({ ...each, ring: each.ring === undefined ? undefined : renamed.get(each.ring) }));
  return new Map([...older, ...left].map((each) => [each.host, each]));
}

test('a host that is back is compared with the ring and the labels that it last had in a complete rollout', () => {
  fc.assert(
    fc.property(fc.array(anyCommit, { minLength: 2, maxLength: 8 }), (commits) => {
      let names: readonly string[] = ['r0', 'r1', 'r2'];
      let last = inForce(names, [0, 1, 2, 2], ['dns']);
      let known: ReadonlyMap<HostName, KnownHost> = new Map(hostsAsLeft(last).map((each) => [each.host, each]));
      // What a person knows: the place of the ring, which keeps it whatever it is called, and whether the budget counted the host.
      let truth = new Map(HOSTS.map((host, index) => [host, { ring: [0, 1, 2, 2][index] ?? 2, isCounted: true }]));
      for (const [at, { ringOf, isStill, renames, hasBudgetLabel, isApproved }] of commits.entries()) {
        const own = ringOf.map((ring, index) => (ring === undefined ? undefined : isStill ? truth.get(HOSTS[index] ?? HOSTS[0]!)?.ring : ring));
        names = last.policy.rings.map(({ name }, index) => (index === renames ? `n${at}` : name));
        const next = inForce(names, own, hasBudgetLabel ? ['dns'] : []);
        const seen = weakeningWords(withKnownHosts(last, next, [...known.values()]), next);
        for (const [index, host] of HOSTS.entries()) {
          const ring = own[index];
          if (ring === undefined) continue;
          const was = truth.get(host);
          expect(seen.some((text) => text.includes(' from ') && text.includes(host))).toBe(was?.ring !== ring);
          expect(seen.some((text) => text.includes('without the label dns') && text.includes(host))).toBe(was?.isCounted === true && !hasBudgetLabel);
        }
        if (seen.length > 0 && !isApproved) continue;
        known = keep(known, hostsAsLeft(next), renamedRings(last.policy, next.policy));
        truth = new Map([
          ...truth,
          ...HOSTS.flatMap((host, index) => (own[index] === undefined ? [] : [[host, { ring: own[index], isCounted: hasBudgetLabel }] as const])),
        ]);
        last = next;
      }
    }),
  );
});

test('a host whose ring is gone meanwhile moved, also into a new ring of the same name', () => {
  const first = inForce(['r0', 'r1', 'late'], [0, 1, 2, 2], []);
  const without = inForce(['r0', 'r1'], [0, 1, undefined, undefined], []);
  const known = keep(new Map(hostsAsLeft(first).map((each) => [each.host, each])), hostsAsLeft(without), renamedRings(first.policy, without.policy));
  const next = inForce(['late', 'r0', 'r1'], [1, 2, 0, undefined], []);
  expect(weakeningWords(withKnownHosts(without, next, [...known.values()]), next)).toContain('1 host from a ring that is gone to ring late: h2');
});

test('hosts that a commit itself left in a ring with a new name did not move, and one that comes later did', () => {
  const before = inForce(['r0', 'r1', 'r2'], [0, 1, 2, 2], []);
  const done = inForce(['r0', 'n1', 'r2'], [0, 1, 2, undefined], []);
  const known = keep(new Map(hostsAsLeft(before).map((each) => [each.host, each])), hostsAsLeft(done), renamedRings(before.policy, done.policy));
  const grown = inForce(['r0', 'n1', 'r2'], [0, 1, 2, 1], []);
  expect(weakeningWords(withKnownHosts(before, grown, [...known.values()]), grown)).toEqual(['1 host from ring r2 to ring n1: h3']);
});

test('a machine that is renamed moves with its former name, however late the commit says what it was, and whatever ring its new name has', () => {
  const name = fc.constantFrom(...HOSTS);
  fc.assert(
    fc.property(
      fc.tuple(...HOSTS.map(() => fc.nat({ max: RINGS - 1 }))),
      fc.tuple(...HOSTS.map(() => fc.option(fc.nat({ max: RINGS - 1 }), { nil: undefined }))),
      name,
      name,
      fc.boolean(),
      (was, is, from, to, isLate) => {
        fc.pre(from !== to);
        const at = (host: HostName): number => HOSTS.indexOf(host);
        const names = ['r0', 'r1', 'r2'];
        const first = inForce(names, was, ['dns']);
        const known = hostsAsLeft(first);
        // The new name has the place of the old one; a commit before may have had it as a machine that nobody knew.
        const ringOf = is.map((ring, index) => (index === at(from) ? undefined : index === at(to) ? (ring ?? 0) : ring));
        const without = inForce(names, ringOf, ['dns']);
        const last = isLate ? without : first;
        const kept = isLate
          ? [...keep(new Map(known.map((each) => [each.host, each])), hostsAsLeft(without), renamedRings(first.policy, without.policy)).values()]
          : known;
        const next = {
          ...without,
          hosts: without.hosts.map((each) => ({ ...each, ...(each.host === to ? { formerHost: from, labels: [] } : {}) })),
        };
        const seen = weakeningWords(withKnownHosts(last, next, kept), next);
        // A name that a machine of its own had does not lose that place by the word.
        const places = isLate ? [was[at(from)]] : [was[at(from)], was[at(to)]];
        expect(seen.some((text) => text.includes(' from ') && text.includes(to))).toBe(places.some((place) => place !== ringOf[at(to)]));
        expect(seen.some((text) => text.includes('without the label dns') && text.includes(to))).toBe(true);
      },
    ),
  );
});

test('no word about a former name hides a move: a host that has a place of its own is still compared with it', () => {
  const rings = fc.tuple(...HOSTS.map(() => fc.nat({ max: RINGS - 1 })));
  fc.assert(
    fc.property(
      rings,
      rings,
      fc.constantFrom(...HOSTS),
      fc.subarray([...HOSTS], { minLength: 1 }),
      fc.boolean(),
      (was, is, gone, claimants, isCounted) => {
        const names = ['r0', 'r1', 'r2'];
        const last = inForce(names, was, ['dns']);
        const ringOf = is.map((ring, index) => (HOSTS[index] === gone ? undefined : ring));
        const next = inForce(names, ringOf, isCounted ? ['dns'] : []);
        const claimed = { ...next, hosts: next.hosts.map((each) => (claimants.includes(each.host) ? { ...each, formerHost: gone } : each)) };
        const moved = HOSTS.filter((host, index) => host !== gone && was[index] !== is[index]);
        const seen = weakeningWords(withKnownHosts(last, claimed, hostsAsLeft(last)), claimed).join('\n');
        for (const host of moved) expect(seen).toContain(host);
        if (!isCounted) expect(seen).toContain('without the label dns');
      },
    ),
  );
});
