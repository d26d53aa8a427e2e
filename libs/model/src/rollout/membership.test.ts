import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HostName } from '../brands.ts';
import { assignRings, labelsOf, otherRings, shareOfHost, type RingCandidate } from './membership.ts';
import { compareRings } from './moves.ts';
import { DEFAULT_POLICY, defaultGates, type RingMembers, type RingPolicy, type RolloutPolicy } from './policy.ts';

const host = (name: string): HostName => name as HostName;
const candidate = (name: string, labels: readonly string[] = [], ownRing?: string): RingCandidate => ({ host: host(name), labels, ring: ownRing });

function ring(name: string, members: Partial<RingMembers> = {}): RingPolicy {
  const [all] = DEFAULT_POLICY.rings;
  if (all === undefined) throw new Error('the default policy has a ring');
  return { ...all, ...defaultGates(0, 2), name, members: { hosts: [], labels: [], share: undefined, ...members } };
}

function policyOf(rings: readonly RingPolicy[], labels: Record<string, readonly string[]> = {}): RolloutPolicy {
  return { ...DEFAULT_POLICY, rings, labels };
}

/** The name of the ring, and the rule. */
function placed(policy: RolloutPolicy, ...hosts: RingCandidate[]): string[] {
  const { ringOf, because } = assignRings(policy, hosts);
  return hosts.map((each) => `${policy.rings[ringOf.get(each.host) ?? -1]?.name} by ${because.get(each.host)?.by}`);
}

const NAMES = ['ws1', 'ws2', 'ws10', 'dns', 'constructor', '__proto__x', 'mail.example.org'];
const LABELS = ['role=dns', 'laptop', 'constructor', '__proto__'];
const anyName = fc.constantFrom(...NAMES);
const anyLabels = fc.subarray(LABELS);
const anyPattern = fc.oneof(anyName, fc.constantFrom('ws*', 'ws?', '*', '*.example.org', 'nobody*'));
const anyPolicy = fc
  .array(
    fc.record({
      hosts: fc.array(anyPattern, { maxLength: 2 }),
      labels: anyLabels,
      share: fc.option(fc.integer({ min: 0, max: 25 }), { nil: undefined }),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .chain((members) =>
    fc.dictionary(anyName, anyLabels).map((labels) =>
      policyOf(
        members.map((each, index) => ring(`r${index}`, each)),
        labels,
      ),
    ),
  );
const anyHosts = fc.uniqueArray(
  fc.record({
    host: anyName.map(host),
    labels: anyLabels,
    ring: fc.option(fc.constantFrom('r0', 'r1', 'r3', 'constructor', ''), { nil: undefined }),
  }),
  { selector: (each) => each.host },
);

describe('who belongs to a ring', () => {
  test('every host has exactly one, with its rule, and a host with a problem as well', () => {
    fc.assert(
      fc.property(anyPolicy, anyHosts, (policy, hosts) => {
        const { ringOf, because, problems } = assignRings(policy, hosts);
        const names = hosts.map((each) => each.host);
        expect([...ringOf.keys()]).toEqual(names);
        expect([...because.keys()]).toEqual(names);
        for (const index of ringOf.values()) expect(policy.rings[index]).toBeDefined();
        for (const problem of problems) expect(names).toContain(problem.host);
      }),
    );
  });

  test('depends on this host alone: others come, go and change their order', () => {
    fc.assert(
      fc.property(
        anyPolicy,
        anyHosts.chain((hosts) => fc.tuple(fc.constant(hosts), fc.shuffledSubarray(hosts))),
        (policy, [hosts, some]) => {
          const all = assignRings(policy, hosts);
          const few = assignRings(policy, some);
          for (const each of some) {
            expect(few.ringOf.get(each.host)).toBe(all.ringOf.get(each.host));
            expect(few.because.get(each.host)).toEqual(all.because.get(each.host));
          }
        },
      ),
    );
  });

  test('does not depend on the order of a host’s labels', () => {
    fc.assert(
      fc.property(anyPolicy, anyHosts, (policy, hosts) => {
        const turned = hosts.map((each) => ({ ...each, labels: each.labels.toReversed() }));
        expect(assignRings(policy, turned)).toEqual(assignRings(policy, hosts));
      }),
    );
  });

  test('is decided by the host itself, then its name, a glob, a label, a share, and else it is the last ring', () => {
    const rings = [
      ring('share', { share: 100 }),
      ring('label', { labels: ['laptop'] }),
      ring('glob', { hosts: ['ws*'] }),
      ring('name', { hosts: ['ws1'] }),
      ring('own'),
    ];
    const one = candidate('ws1', ['laptop'], 'own');
    expect(placed(policyOf(rings), one)).toEqual(['own by own']);
    const without = { ...one, ring: undefined };
    expect(placed(policyOf(rings), without)).toEqual(['name by name']);
    expect(placed(policyOf(rings.filter(({ name }) => name !== 'name')), without)).toEqual(['glob by glob']);
    expect(placed(policyOf(rings.filter(({ name }) => name !== 'name' && name !== 'glob')), without)).toEqual(['label by label']);
    expect(placed(policyOf([ring('share', { share: 100 }), ring('own')]), without)).toEqual(['share by share']);
    expect(placed(policyOf([ring('nobody'), ring('own')]), without)).toEqual(['own by rest']);
  });

  test('no rule of a lower rank changes the ring that a higher one gives', () => {
    const ranks = ['own', 'name', 'glob', 'label', 'share', 'rest'];
    fc.assert(
      fc.property(anyPolicy, anyHosts, (policy, hosts) => {
        const given = assignRings(policy, hosts);
        for (const each of hosts) {
          const rank = ranks.indexOf(given.because.get(each.host)?.by ?? '');
          const stripped = policy.rings.map((one) => ({
            ...one,
            members: {
              hosts: rank < ranks.indexOf('glob') ? one.members.hosts.filter((pattern) => pattern === each.host) : one.members.hosts,
              labels: rank < ranks.indexOf('label') ? [] : one.members.labels,
              share: rank < ranks.indexOf('share') ? undefined : one.members.share,
            },
          }));
          expect(assignRings({ ...policy, rings: stripped }, [each]).ringOf.get(each.host)).toBe(given.ringOf.get(each.host));
        }
      }),
    );
  });

  test('where one rule fits two rings, the first counts', () => {
    const policy = policyOf([
      ring('a', { hosts: ['ws*', 'mail'], labels: ['z', 'both'] }),
      ring('b', { hosts: ['ws1*', 'mail'], labels: ['y', 'both'] }),
      ring('c'),
    ]);
    const hosts = [candidate('ws10'), candidate('mail'), candidate('dns', ['y', 'z']), candidate('dns2', ['both'])];
    expect(placed(policy, ...hosts)).toEqual(['a by glob', 'a by name', 'a by label', 'a by label']);
  });

  test('an exact name in a later ring beats a glob in an earlier one', () => {
    const policy = policyOf([ring('canary', { hosts: ['ws*'] }), ring('late', { hosts: ['ws7'] }), ring('all')]);
    expect(placed(policy, candidate('ws7'), candidate('ws8'))).toEqual(['late by name', 'canary by glob']);
  });
});

describe('a host that two rings lay claim to', () => {
  test('has those by the same rule, and by its name where its own configuration names another', () => {
    const policy = policyOf([
      ring('a', { hosts: ['ws*'], labels: ['z'] }),
      ring('b', { hosts: ['ws1*', 'mail'], labels: ['y'] }),
      ring('c', { hosts: ['ws3'] }),
    ]);
    const hosts = [candidate('ws10', ['y']), candidate('ws3'), candidate('mail', [], 'a'), candidate('dns', ['y', 'z']), candidate('x', ['y'], 'a')];
    expect([...otherRings(policy, hosts)]).toEqual([
      ['ws10', [{ ring: 1, rule: { by: 'glob', pattern: 'ws1*' } }]],
      ['ws3', []],
      ['mail', [{ ring: 1, rule: { by: 'name' } }]],
      ['dns', [{ ring: 1, rule: { by: 'label', label: 'y' } }]],
      ['x', []],
    ]);
  });

  test('would be in each of those if that were the only one that names anybody', () => {
    fc.assert(
      fc.property(anyPolicy, anyHosts, (policy, hosts) => {
        const { ringOf, because } = assignRings(policy, hosts);
        for (const [name, others] of otherRings(policy, hosts)) {
          const by = because.get(name)?.by;
          const [each] = hosts.filter(({ host: other }) => other === name).map((own) => (by === 'own' ? { ...own, ring: undefined } : own));
          if (each === undefined) throw new Error('it is one of them');
          const found = policy.rings.flatMap((_, index) => {
            const alone = policy.rings.map((other, at) =>
              at === index ? other : { ...other, members: { hosts: [], labels: [], share: undefined } },
            );
            const then = assignRings({ ...policy, rings: alone }, [each]);
            const isSame = then.because.get(name)?.by === (by === 'own' ? 'name' : by) && ['own', 'glob', 'label'].includes(by ?? '');
            return isSame && index !== ringOf.get(name) ? [index] : [];
          });
          expect(others.map(({ ring: index }) => index)).toEqual(found);
        }
      }),
    );
  });
});

describe('mistakes', () => {
  test('a ring that the policy does not have is a problem of that host, which is in the last ring', () => {
    const policy = policyOf([ring('canary', { hosts: ['ws1'] }), ring('all')]);
    const { ringOf, problems } = assignRings(policy, [candidate('ws1', [], 'canari'), candidate('ws2', [], 'canary')]);
    expect([...ringOf.values()]).toEqual([1, 0]);
    expect(problems).toEqual([
      { host: 'ws1', message: 'its configuration names the ring "canari", which the policy does not have; did you mean canary?' },
    ]);
  });

  test('a ring that is like none is told with those that there are, and never in full length', () => {
    const policy = policyOf([ring('canary'), ring('all')]);
    const { problems } = assignRings(policy, [candidate('ws1', [], 'x'.repeat(1_000_000)), candidate('ws2', [], 'testing')]);
    expect(problems.map(({ message }) => message)).toEqual([
      `its configuration names the ring "${'x'.repeat(79)}…", which the policy does not have; the rings are canary, all`,
      'its configuration names the ring "testing", which the policy does not have; the rings are canary, all',
    ]);
  });

  test('where there is one ring, it is named', () => {
    expect(assignRings(policyOf([ring('all')]), [candidate('ws1', [], 'canary')]).problems).toEqual([
      { host: 'ws1', message: 'its configuration names the ring "canary", which the policy does not have; its only ring is all' },
    ]);
  });

  test('names of JavaScript’s own are names like others', () => {
    const policy = policyOf([ring('a', { labels: ['toString'] }), ring('b')]);
    expect(placed(policy, candidate('constructor'), candidate('valueOf', ['constructor']), candidate('toString', [], undefined))).toEqual([
      'b by rest',
      'b by rest',
      'b by rest',
    ]);
    expect(assignRings(policy, [candidate('ws1', [], 'constructor')]).problems).toHaveLength(1);
  });
});

test('labels are those of the host and those of the policy, each once', () => {
  const policy = policyOf([ring('a')], { ws1: ['role=dns', 'laptop'] });
  expect(labelsOf(policy, candidate('ws1', ['laptop', 'own']))).toEqual(['laptop', 'own', 'role=dns']);
  expect(labelsOf(policy, candidate('constructor', ['own']))).toEqual(['own']);
});

describe('shares', () => {
  const FLEET = Array.from({ length: 10_000 }, (_, index) => candidate(`ws${String(index).padStart(5, '0')}`));

  function countsOf(shares: readonly number[], hosts: readonly RingCandidate[] = FLEET): number[] {
    const { ringOf } = assignRings(policyOf([...shares.map((share, index) => ring(`r${index}`, { share })), ring('rest')]), hosts);
    const counts = Array.from({ length: shares.length + 1 }, () => 0);
    for (const index of ringOf.values()) counts[index] = (counts[index] ?? 0) + 1;
    return counts;
  }

  test.each([
    ['numbered', (index: number) => `ws${index}`],
    ['numbered with zeros', (index: number) => `host-${String(index).padStart(6, '0')}`],
    ['numbered at the front', (index: number) => `${index}.laptops.example.org`],
    ['named by letters', (index: number) => `m${[...String(index)].map((digit) => 'abcdefghij'[Number(digit)]).join('')}`],
    ['named by a serial number', (index: number) => `nb-${(index * 7919).toString(36)}x`],
  ])('of 10,000 %s hosts each ring gets its part', (_, nameOf) => {
    const counts = countsOf(
      [1, 9, 40],
      Array.from({ length: 10_000 }, (_each, index) => candidate(nameOf(index))),
    );
    const expected = [100, 900, 4000, 5000];
    // Four standard deviations of a fair draw.
    for (const [index, count] of counts.entries()) {
      const mean = expected[index] ?? 0;
      expect(Math.abs(count - mean), `${count} instead of ${mean}`).toBeLessThan(4 * Math.sqrt(mean * (1 - mean / 10_000)));
    }
  });

  test('none and all of the fleet are exact', () => {
    expect(countsOf([0])).toEqual([0, 10_000]);
    expect(countsOf([100])).toEqual([10_000, 0]);
    expect(countsOf([0, 100])).toEqual([0, 10_000, 0]);
  });

  test('a larger share only adds hosts to its ring, and moves nobody to a later one', () => {
    const some = FLEET.slice(0, 200);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 3 }),
        fc.nat(2),
        fc.integer({ min: 1, max: 10 }),
        (shares, at, more) => {
          const index = at % shares.length;
          const assign = (parts: readonly number[]) =>
            assignRings(policyOf([...parts.map((share, ringAt) => ring(`r${ringAt}`, { share })), ring('rest')]), some).ringOf;
          const before = assign(shares);
          const after = assign(shares.map((share, each) => (each === index ? share + more : share)));
          for (const [name, was] of before) {
            const is = after.get(name) ?? -1;
            expect(is).toBeLessThanOrEqual(was);
            if (was === index) expect(is).toBe(index);
          }
        },
      ),
    );
  });

  test('the place of a host never changes', () => {
    // If this fails, hosts of every fleet would change their rings: keep the hash.
    expect(['ws1', 'ws2', 'ws10000', 'mail.example.org'].map((name) => shareOfHost(host(name)).toFixed(6))).toMatchInlineSnapshot(`
      [
        "23.202297",
        "34.255390",
        "11.252270",
        "48.159607",
      ]
    `);
  });
});

describe('moves', () => {
  const filled = (policy: RolloutPolicy, hosts: readonly RingCandidate[]) => ({ policy, assignment: assignRings(policy, hosts) });
  const HOSTS = [candidate('ws1'), candidate('ws2'), candidate('ws3')];

  test('are hosts whose ring has another name; a renamed ring moves nobody, nor do hosts that come and leave', () => {
    const before = filled(policyOf([ring('canary', { hosts: ['ws1'] }), ring('all')]), HOSTS.slice(0, 2));
    const after = filled(policyOf([ring('first', { hosts: ['ws2'] }), ring('all')]), HOSTS);
    expect(compareRings(before, after)).toEqual([
      { host: 'ws1', from: 0, to: 1, rule: { by: 'rest' } },
      { host: 'ws2', from: 1, to: 0, rule: { by: 'name' } },
    ]);
  });

  test('a ring that is put between two others moves only those that enter it', () => {
    const before = filled(policyOf([ring('canary', { hosts: ['ws1'] }), ring('all')]), HOSTS);
    const after = filled(policyOf([ring('canary', { hosts: ['ws1'] }), ring('half', { hosts: ['ws2'] }), ring('all')]), HOSTS);
    expect(compareRings(before, after).map((move) => move.host)).toEqual(['ws2']);
  });

  test('the same policy moves nobody', () => {
    fc.assert(
      fc.property(anyPolicy, anyHosts, (policy, hosts) => {
        expect(compareRings(filled(policy, hosts), filled(policy, hosts))).toEqual([]);
      }),
    );
  });
});
