import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HostName } from '../brands.ts';
import { APPROVING_ROLES } from '../roles.ts';
import { gatesInWords } from './gate-words.ts';
import { assignRings, type RingCandidate } from './membership.ts';
import { DEFAULT_POLICY, defaultGates, type RingPolicy, type RingWindow, type RolloutPolicy } from './policy.ts';
import { weakeningWords } from '../test/loosened.ts';
import { comparePolicies, type PolicyInForce } from './weaker.ts';

const HOSTS: readonly RingCandidate[] = ['ws1', 'ws2', 'ws3', 'dns1'].map((name) => ({ host: name as HostName, labels: [] }));

function ring(name: string, more: Partial<RingPolicy> = {}): RingPolicy {
  return {
    name,
    members: { hosts: [], labels: [], share: undefined },
    ...defaultGates(0, 2),
    maxInFlight: undefined,
    windows: [],
    approvals: undefined,
    probes: [],
    pauseAfter: false,
    ...more,
  };
}

const hosts = (...names: string[]): Pick<RingPolicy, 'members'> => ({ members: { hosts: names, labels: [], share: undefined } });
const CANARY = ring('canary', hosts('ws1'));
const ALL = ring('all');

function inForce(over: Partial<RolloutPolicy> = {}, fleet: readonly RingCandidate[] = HOSTS): PolicyInForce {
  const policy: RolloutPolicy = { ...DEFAULT_POLICY, rings: [CANARY, ALL], ...over };
  return { policy, hosts: fleet, assignment: assignRings(policy, fleet) };
}

/** "weaker: TEXT" for each change. */
function changes(before: PolicyInForce, after: PolicyInForce): readonly string[] {
  return comparePolicies(before, after).map(({ direction, text }) => `${direction}: ${text}`);
}

const night: RingWindow = { kind: 'allow', cron: '0 2 * * *', durationMs: 3_600_000, timeZone: 'UTC' };
const office: RingWindow = { kind: 'deny', cron: '0 9 * * mon-fri', durationMs: 8 * 3_600_000, timeZone: 'UTC' };

describe('a ring', () => {
  test.each<[string, Partial<RingPolicy>, Partial<RingPolicy>, string]>([
    ['success', {}, { successPercent: 60 }, 'ring canary: 60 % of the started hosts verified instead of 80 % of the started hosts verified'],
    [
      'errors',
      {},
      { errors: { percent: 10, minStarted: 1 } },
      'pauses when more than 10 % of the started hosts failed instead of pauses when any host failed',
    ],
    ['errors once more have started', {}, { errors: { percent: 0, minStarted: 3 } }, 'pauses when any host failed, once 3 started, or all of fewer'],
    ['no error gate', {}, { errors: { percent: 100, minStarted: 1 } }, 'ring canary: never pauses for failures instead of'],
    ['verified', { minVerified: 2 }, {}, 'ring canary: at least 1 verified instead of at least 2 verified'],
    ['soak', {}, { soakMs: 0 }, 'ring canary: no soak instead of soak 30 min'],
    ['in flight', { maxInFlight: 3 }, { maxInFlight: 4 }, 'ring canary: at most 4 at once instead of at most 3 at once'],
    ['no limit in flight', { maxInFlight: 3 }, {}, 'ring canary: no limit of its own instead of at most 3 at once'],
    ['no windows', { windows: [night] }, {}, 'ring canary: at any time instead of only from "0 2 * * *" for 1 h (UTC)'],
    ['one more window', { windows: [night] }, { windows: [night, { ...night, cron: '0 4 * * *' }] }, 'ring canary: only from'],
    ['a longer window', { windows: [night] }, { windows: [{ ...night, durationMs: 7_200_000 }] }, 'for 2 h (UTC) instead of'],
    ['a window in another zone', { windows: [night] }, { windows: [{ ...night, timeZone: 'Europe/Berlin' }] }, '(Europe/Berlin) instead of'],
    ['office hours', { windows: [night, office] }, { windows: [night] }, 'never from "0 9 * * mon-fri" for 8 h (UTC)'],
    ['fewer office hours', { windows: [office] }, { windows: [{ ...office, durationMs: 60_000 }] }, 'ring canary: never from'],
    [
      'no approval',
      { approvals: { count: 1, role: 'approver', notAuthor: true } },
      {},
      'ring canary: no approval instead of 1 approval (approver or higher, not an author)',
    ],
    [
      'more approvals, by anybody',
      { approvals: { count: 1, role: 'administrator', notAuthor: true } },
      { approvals: { count: 2, role: 'approver', notAuthor: true } },
      'ring canary: 2 approvals (approver or higher, not an author) instead of 1 approval (administrator, not an author)',
    ],
    [
      'the author approves',
      { approvals: { count: 1, role: 'approver', notAuthor: true } },
      { approvals: { count: 1, role: 'approver', notAuthor: false } },
      'ring canary: 1 approval (approver or higher) instead of',
    ],
    ['no pause after it', { pauseAfter: true }, {}, 'ring canary: goes on by itself instead of a person resumes after it'],
  ])('is weaker with a looser gate: %s', (_, strict, loose, text) => {
    const [before, after] = [strict, loose].map((gates) => inForce({ rings: [{ ...CANARY, ...gates }, ALL] })) as [PolicyInForce, PolicyInForce];
    expect(changes(before, after)).toEqual([expect.stringMatching(/^weaker: /)]);
    expect(weakeningWords(before, after)).toEqual([expect.stringContaining(text)]);
    if (!text.includes('2 approvals') && !text.includes('Berlin')) expect(changes(after, before)).toEqual([expect.stringMatching(/^stronger: /)]);
  });

  test('is never weaker than none: the first policy of a fleet waits for nobody', () => {
    const none = inForce(DEFAULT_POLICY);
    for (const after of [inForce(), inForce({ rings: [ALL] }), inForce({ rings: [CANARY, ring('half', { windows: [night] }), ALL] })])
      expect(weakeningWords(none, after)).toEqual([]);
  });

  test('that was the only one and had gates: all new ones are compared with it', () => {
    const single = inForce({ rings: [ring('all', { windows: [night], soakMs: 60_000 })] });
    const after = inForce({ rings: [ring('canary', { ...hosts('ws1'), windows: [night] }), ring('rest')] });
    expect(weakeningWords(single, after)).toEqual(['ring rest: at any time instead of only from "0 2 * * *" for 1 h (UTC)']);
  });

  test('with another deadline is neither weaker nor stronger: what is overdue pauses', () => {
    expect(changes(inForce(), inForce({ rings: [{ ...CANARY, deadlineMs: undefined }, ALL] }))).toEqual([
      'other: ring canary: no deadline instead of deadline 1 d',
    ]);
  });

  test('that is gone takes its gates with it', () => {
    expect(weakeningWords(inForce(), inForce({ rings: [ALL] }))).toEqual([
      'ring canary is gone, with its gates',
      '1 host from ring canary to ring all: ws1',
    ]);
  });

  test('that is put in front brings the first ring’s gates, which count for the ring behind it', () => {
    const loose = ring('loose', { errors: { percent: 100, minStarted: 1 } });
    expect(weakeningWords(inForce(), inForce({ rings: [loose, CANARY, ALL] }))).toEqual([
      'the first ring: never pauses for failures instead of pauses when any host failed',
    ]);
    expect(changes(inForce(), inForce({ rings: [ring('strict'), CANARY, ALL] }))).toEqual(['other: ring strict is new']);
  });

  test('that changes places is weaker, and one with another name is not', () => {
    expect(weakeningWords(inForce(), inForce({ rings: [ALL, CANARY] }))).toContain('ring canary comes after a ring that it came before');
    expect(changes(inForce(), inForce({ rings: [{ ...CANARY, name: 'first' }, ALL] }))).toEqual(['other: ring canary is called first']);
    const moved = changes(inForce(), inForce({ rings: [ALL, ring('last')] }));
    expect(moved).toEqual(expect.arrayContaining(['weaker: ring canary is gone, with its gates', 'other: ring last is new']));
  });
});

describe('hosts', () => {
  test('that move are a weakening, whichever way', () => {
    const after = inForce({ rings: [ring('canary', hosts('ws2', 'ws3')), ALL] });
    expect(weakeningWords(inForce(), after)).toEqual(['1 host from ring canary to ring all: ws1', '2 hosts from ring all to ring canary: ws2, ws3']);
  });

  test('that come and leave are none, except the last of a ring', () => {
    const more = [...HOSTS, { host: 'ws4' as HostName, labels: [] }];
    expect(changes(inForce(), inForce({}, more))).toEqual([]);
    expect(changes(inForce({}, more), inForce())).toEqual([]);
    expect(weakeningWords(inForce(), inForce({}, HOSTS.slice(1)))).toEqual(['ring canary has no hosts any more']);
  });

  test('that move by their own configuration are a weakening as well', () => {
    const own = HOSTS.map((each) => (each.host === 'ws1' ? { ...each, ring: 'all' } : each));
    expect(weakeningWords(inForce(), inForce({}, own))).toContain('1 host from ring canary to ring all: ws1');
  });

  test('that lose a label leave its budget', () => {
    const budget = { budgets: [{ label: 'role=dns', atMost: 1 }] };
    const labelled = inForce({ ...budget, labels: { dns1: ['role=dns'] } as RolloutPolicy['labels'] });
    const own = HOSTS.map((each) => (each.host === 'dns1' ? { ...each, labels: ['role=dns'] } : each));
    expect(weakeningWords(labelled, inForce(budget))).toEqual(['1 host without the label role=dns, which has a budget: dns1']);
    expect(changes(labelled, inForce(budget, own))).toEqual([]);
    expect(weakeningWords(inForce(budget, own), inForce(budget))).toHaveLength(1);
  });

  test('whose windows go by their own time zone weaken them with another one', () => {
    const own: RingWindow = { ...night, timeZone: 'host' };
    const rings = [{ ...CANARY, windows: [own] }, ALL];
    const inZone = (timeZone: string | undefined) => HOSTS.map((each) => ({ ...each, timeZone }));
    const berlin = inForce({ rings }, inZone('Europe/Berlin'));
    expect(weakeningWords(berlin, inForce({ rings }, inZone('Asia/Tokyo')))).toEqual([
      '1 host with windows in another time zone, by its own configuration: ws1',
    ]);
    expect(changes(berlin, berlin)).toEqual([]);
    // None is UTC.
    expect(changes(inForce({ rings }, inZone('UTC')), inForce({ rings }, inZone(undefined)))).toEqual([]);
    expect(changes(inForce({}, inZone('Europe/Berlin')), inForce({}, inZone('Asia/Tokyo')))).toEqual([]);
    expect(weakeningWords(inForce({ rings: [{ ...CANARY, windows: [night] }, ALL] }), berlin)).toEqual([
      'ring canary: only from "0 2 * * *" for 1 h (the time zone of each host) instead of only from "0 2 * * *" for 1 h (UTC)',
    ]);
  });

  test('of a large fleet are counted, and some are named', () => {
    const fleet = Array.from({ length: 5000 }, (_, index) => ({ host: `h${index}` as HostName, labels: [] }));
    const [text, ...more] = weakeningWords(inForce({}, fleet), inForce({ rings: [ring('canary', hosts('h*')), ALL] }, fleet));
    expect(text).toBe('5000 hosts from ring all to ring canary: h0, h1, h2, h3, h4 and 4995 more');
    expect(more).toEqual(['ring all has no hosts any more']);
  });
});

describe('the fleet', () => {
  test('is weaker with a higher limit, budget, or fewer checks', () => {
    const before = inForce({ maxInFlight: 5, budgets: [{ label: 'role=dns', atMost: 1 }], checks: ['unit'] });
    expect(weakeningWords(before, inForce())).toEqual([
      'the fleet: no limit instead of at most 5 at once',
      'the label role=dns: no limit instead of at most 1 at once',
      'the check "unit" is not built before a release any more',
    ]);
    expect(changes(inForce(), before).every((text) => text.startsWith('stronger: '))).toBe(true);
  });
});

test('a stepping stone that is gone is weaker', () => {
  const before = inForce({ steppingStones: ['agent-2'] });
  expect(weakeningWords(before, inForce())).toEqual(['hosts need not run the stepping stone agent-2 any more']);
  expect(changes(inForce(), before)).toEqual(['stronger: hosts have to run the stepping stone agent-2 before anything newer']);
});

test.each([
  [{ percent: 50, hosts: 3 }, { percent: 60, hosts: 3 }, 'weaker: a commit is held when more than 60 % of the hosts are gone, and at least 3'],
  [{ percent: 50, hosts: 3 }, { percent: 50, hosts: 4 }, 'weaker: a commit is held when more than 50 % of the hosts are gone, and at least 4'],
  [{ percent: 50, hosts: 3 }, { percent: 10, hosts: 30 }, 'weaker: a commit is held when more than 10 % of the hosts are gone, and at least 30'],
  [{ percent: 50, hosts: 3 }, { percent: 100, hosts: 1 }, 'weaker: a commit is held only when all hosts are gone instead of'],
  [{ percent: 100, hosts: 1 }, { percent: 50, hosts: 3 }, 'stronger: a commit is held when more than 50 % of the hosts are gone, and at least 3'],
  [{ percent: 50, hosts: 3 }, { percent: 0, hosts: 1 }, 'stronger: a commit is held when any host is gone instead of'],
])('a host list that may shrink more is weaker: from %o to %o', (was, is, text) => {
  expect(changes(inForce({ shrink: was }), inForce({ shrink: is }))).toEqual([expect.stringContaining(text)]);
});

test('whom a policy has told makes it no weaker: it adds to those whom the settings name', () => {
  const before = inForce({ notify: { 'rollout-paused': ['chat', 'mail'] } });
  expect(changes(before, inForce({ notify: { 'rollout-paused': ['mail'], 'host-lost': ['chat'] } }))).toEqual([
    'other: host-lost is also told to chat instead of nobody',
    'other: rollout-paused is also told to mail instead of chat, mail',
  ]);
});

test('downloads ahead make no policy weaker: what is only downloaded is not run', () => {
  const before = inForce({ downloads: { ahead: false, spreadMs: 60_000 } });
  expect(changes(before, inForce({ downloads: { ahead: true, spreadMs: 0 } }))).toEqual([
    'other: downloads ahead, all at once instead of no downloads ahead',
  ]);
  expect(changes(before, inForce({ downloads: { ahead: false, spreadMs: 0 } }))).toEqual([]);
});

describe('any two policies', () => {
  const anyRing = (name: string) =>
    fc
      .record({
        successPercent: fc.constantFrom(0, 80, 100),
        errors: fc.record({ percent: fc.constantFrom(0, 10, 100), minStarted: fc.constantFrom(1, 3) }),
        minVerified: fc.constantFrom(1, 2),
        soakMs: fc.constantFrom(0, 60_000),
        deadlineMs: fc.constantFrom(undefined, 60_000),
        maxInFlight: fc.constantFrom(undefined, 1, 2),
        windows: fc.subarray([night, office, { ...night, timeZone: 'host' }, { ...night, durationMs: 7_200_000 }, { ...night, cron: '0 4 * * *' }]),
        approvals: fc.option(fc.record({ count: fc.constantFrom(1, 2), role: fc.constantFrom(...APPROVING_ROLES), notAuthor: fc.boolean() }), {
          nil: undefined,
        }),
        probes: fc.subarray([
          { name: 'errors', everyMs: 60_000 },
          { name: 'latency', everyMs: 60_000 },
        ]),
        pauseAfter: fc.boolean(),
      })
      .map((gates): RingPolicy => ({ name, ...hosts('ws1'), ...gates }));
  const anyPolicy = fc
    .record({
      rings: fc.tuple(anyRing('canary'), anyRing('all')),
      maxInFlight: fc.constantFrom(undefined, 1, 10),
      budgets: fc.uniqueArray(fc.record({ label: fc.constantFrom('a', 'b'), atMost: fc.constantFrom(1, 2) }), { selector: ({ label }) => label }),
      checks: fc.subarray(['unit', 'lint']),
      steppingStones: fc.subarray(['agent-2', 'keys-2027']),
      shrink: fc.record({ percent: fc.constantFrom(0, 50, 100), hosts: fc.constantFrom(1, 3) }),
      downloads: fc.record({ ahead: fc.boolean(), spreadMs: fc.constantFrom(0, 60_000) }),
      notify: fc.record({ 'rollout-paused': fc.subarray(['chat', 'mail']) }, { requiredKeys: [] }),
    })
    .map((over) => inForce(over));
  const notWeakerShrink = (policy: PolicyInForce): PolicyInForce => ({ ...policy, policy: { ...policy.policy, shrink: { percent: 0, hosts: 1 } } });

  test('is not weaker than none', () => {
    fc.assert(
      fc.property(anyPolicy, (policy) => {
        expect(weakeningWords(inForce(DEFAULT_POLICY), notWeakerShrink(policy))).toEqual([]);
      }),
    );
  });

  test('the same one does not change', () => {
    fc.assert(
      fc.property(anyPolicy, (policy) => {
        expect(comparePolicies(policy, policy)).toEqual([]);
      }),
    );
  });

  test('a change to and fro is a weakening one way at least, if it is about a gate', () => {
    fc.assert(
      fc.property(anyPolicy, anyPolicy, (a, b) => {
        const there = comparePolicies(a, b).filter(({ direction }) => direction !== 'other');
        fc.pre(there.length > 0);
        expect(weakeningWords(a, b).length + weakeningWords(b, a).length).toBeGreaterThan(0);
        for (const { direction, text } of there) if (direction === 'stronger') expect(weakeningWords(b, a).length, text).toBeGreaterThan(0);
      }),
    );
  });

  test('two steps that are not weaker are not weaker together: no gate is loosened little by little', () => {
    // Each gate on its own, so that two random steps are not weaker often enough.
    for (const gate of ['errors', 'windows', 'approvals', 'maxInFlight', 'soakMs', 'probes'] as const) {
      fc.assert(
        fc.property(fc.tuple(anyRing('canary'), anyRing('canary'), anyRing('canary')), (three) => {
          const [a, b, c] = three.map((each) => inForce({ rings: [{ ...CANARY, [gate]: each[gate] }, ALL] })) as [
            PolicyInForce,
            PolicyInForce,
            PolicyInForce,
          ];
          if (weakeningWords(a, b).length === 0 && weakeningWords(b, c).length === 0) expect(weakeningWords(a, c)).toEqual([]);
        }),
      );
    }
  });
});

test('the gates of a ring in words', () => {
  expect(gatesInWords(CANARY)).toEqual([
    'pauses when any host failed',
    'at least 1 verified',
    '80 % of the started hosts verified',
    'soak 30 min',
    'deadline 1 d',
  ]);
  const [only] = DEFAULT_POLICY.rings;
  expect(gatesInWords(only ?? ALL)).toEqual(['at least 1 verified']);
  expect(
    gatesInWords({ ...CANARY, windows: [night], approvals: { count: 2, role: 'approver', notAuthor: true }, maxInFlight: 3, pauseAfter: true }),
  ).toEqual([
    '2 approvals (approver or higher, not an author)',
    'only from "0 2 * * *" for 1 h (UTC)',
    'at most 3 at once',
    'pauses when any host failed',
    'at least 1 verified',
    '80 % of the started hosts verified',
    'soak 30 min',
    'deadline 1 d',
    'a person resumes after it',
  ]);
});
