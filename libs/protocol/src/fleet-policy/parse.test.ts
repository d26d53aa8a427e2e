import { APPROVING_ROLES, DEFAULT_POLICY, defaultGates, type RolloutPolicy } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseFleetPolicy } from './parse.ts';

function policyOf(data: unknown): RolloutPolicy {
  const parsed = parseFleetPolicy(data);
  if (parsed.kind === 'problems') throw new Error(parsed.problems.join('\n'));
  return parsed.policy;
}

function problemsOf(data: unknown): readonly string[] {
  const parsed = parseFleetPolicy(data);
  return parsed.kind === 'problems' ? parsed.problems : [];
}

const WINDOW = { allow: '0 22 * * mon-fri', duration: '6h', timeZone: 'Europe/Berlin' };
const HOUR_MS = 3_600_000;

describe('what people write', () => {
  test('nothing: one ring, and nothing waits', () => {
    expect(policyOf(undefined)).toEqual(DEFAULT_POLICY);
    expect(policyOf({})).toEqual(DEFAULT_POLICY);
  });

  test('everything', () => {
    const policy = policyOf({
      rings: [
        { name: 'canary', hosts: ['web1', 'dns?'], labels: ['canary'], share: null, success: 100, errors: 0, minVerified: 2, soak: '1h30m' },
        {
          name: 'early',
          share: '12.5%',
          success: '90 %',
          errors: { percent: '5%', minStarted: 4 },
          deadline: null,
          maxInFlight: 3,
          windows: [WINDOW, { deny: '0 0 24 12 *', duration: '3d', timeZone: 'UTC' }],
          approvals: { role: 'administrator', notAuthor: false },
          probes: [{ name: 'errors', every: '30s' }, { name: 'latency' }],
          pauseAfter: true,
        },
        { name: 'all', share: 20, approvals: {} },
      ],
      labels: { web1: ['role=web', 'canary', 'canary'] },
      maxInFlight: null,
      budgets: { 'role=dns': 1 },
      checks: ['unit tests'],
      steppingStones: ['agent-2', 'keys.2027'],
      shrink: { percent: '20%' },
      presence: { stale: '1d' },
      downloads: { spread: '1h' },
      notify: { 'rollout-paused': ['chat', 'chat', 'mail'], 'rollout-complete': [] },
    });
    expect(policy).toEqual({
      rings: [
        {
          name: 'canary',
          members: { hosts: ['web1', 'dns?'], labels: ['canary'], share: undefined },
          ...defaultGates(0, 3),
          successPercent: 100,
          minVerified: 2,
          soakMs: 1.5 * HOUR_MS,
          maxInFlight: undefined,
          windows: [],
          approvals: undefined,
          probes: [],
          pauseAfter: false,
        },
        {
          name: 'early',
          members: { hosts: [], labels: [], share: 12.5 },
          ...defaultGates(1, 3),
          successPercent: 90,
          errors: { percent: 5, minStarted: 4 },
          deadlineMs: undefined,
          maxInFlight: 3,
          windows: [
            { kind: 'allow', cron: '0 22 * * mon-fri', durationMs: 6 * HOUR_MS, timeZone: 'Europe/Berlin' },
            { kind: 'deny', cron: '0 0 24 12 *', durationMs: 72 * HOUR_MS, timeZone: 'UTC' },
          ],
          approvals: { count: 1, role: 'administrator', notAuthor: false },
          probes: [
            { name: 'errors', everyMs: 30_000 },
            { name: 'latency', everyMs: 60_000 },
          ],
          pauseAfter: true,
        },
        {
          name: 'all',
          members: { hosts: [], labels: [], share: 20 },
          ...defaultGates(2, 3),
          maxInFlight: undefined,
          windows: [],
          approvals: { count: 1, role: 'approver', notAuthor: false },
          probes: [],
          pauseAfter: false,
        },
      ],
      labels: { web1: ['role=web', 'canary'] },
      maxInFlight: undefined,
      budgets: [{ label: 'role=dns', atMost: 1 }],
      checks: ['unit tests'],
      steppingStones: ['agent-2', 'keys.2027'],
      shrink: { percent: 20, hosts: 3 },
      presence: { ...DEFAULT_POLICY.presence, staleMs: 24 * HOUR_MS },
      downloads: { ahead: true, spreadMs: HOUR_MS },
      notify: { 'rollout-paused': ['chat', 'mail'], 'rollout-complete': [] },
    });
  });

  test('rings have a limit of hosts in flight even when none is written', () => {
    expect(policyOf({ rings: [{ name: 'all' }] })).toMatchObject({ maxInFlight: 10, rings: [defaultGates(0, 1)] });
  });
});

describe('mistakes, each with its path and its value', () => {
  const ring = (more: object): object => ({ rings: [{ name: 'canary' }, { name: 'all', ...more }] });
  test.each<[unknown, string]>([
    [null, 'floe: null is not a set, { … }; the keys here are rings, '],
    [[], 'floe: [] is a list: write a set, { … }'],
    ['canary', 'floe: "canary" is not a set, { … }'],
    [{ ring: [] }, 'ring: unknown key; did you mean rings?'],
    [
      { toString: 1 },
      'toString: unknown key; the keys here are rings, labels, maxInFlight, budgets, checks, steppingStones, shrink, presence, downloads, notify',
    ],
    [{ rings: [] }, 'rings: [] names no ring: add one, or leave "rings" out for a single ring with all hosts'],
    [{ rings: {} }, 'rings: {} is not a list of rings'],
    [{ rings: [{}] }, 'rings[0].name: is missing: write name = "canary";'],
    [{ budgets: [{ label: 'role=dns' }] }, 'budgets: [ … ] is a list: write a set, { … }'],
    [{ checks: 'unit' }, 'checks: "unit" is not a list of names of flake checks: write [ "unit" ]'],
    [ring({ approvals: 2 }), 'rings[1].approvals: 2 is not a set, { … }; the keys here are count, role, notAuthor'],
    [{ rings: [[]] }, 'rings[0]: [] is a list: write a set, { … }'],
    [{ rings: ['a'] }, 'rings[0]: "a" is not a set, { … }'],
    [{ rings: Array.from({ length: 21 }, (_, index) => ({ name: `r${index}` })) }, 'rings: the list has too many entries: 20 are the most'],
    [ring({ sucess: 1 }), 'rings[1].sucess: unknown key; did you mean success?'],
    [ring({ name: 'Canary' }), 'rings[1].name: "Canary" is the name of rings[0] already: each ring has its own'],
    [ring({ name: 'a/b' }), 'rings[1].name: "a/b" is not possible: a ring name is 1 to 40 letters'],
    [ring({ success: 'lots' }), 'rings[1].success: "lots" is not a percentage from 0 to 100: write 80 or "80%"'],
    [ring({ success: 0.8 }), 'rings[1].success: 0.8 is less than one percent: write 80 for 80 %'],
    [ring({ success: 101 }), 'rings[1].success: 101 is not a percentage from 0 to 100'],
    [ring({ success: '101%' }), 'rings[1].success: "101%" is not a percentage from 0 to 100'],
    [ring({ share: -5 }), 'rings[1].share: -5 is not a percentage from 0 to 100: write 80 or "80%"'],
    [ring({ share: '-5%' }), 'rings[1].share: "-5%" is not a percentage from 0 to 100'],
    [ring({ share: '150%' }), 'rings[1].share: "150%" is not a percentage from 0 to 100'],
    [ring({ errors: [] }), 'rings[1].errors: [] is not a percentage such as "10%", nor {'],
    [ring({ errors: { percent: true } }), 'rings[1].errors.percent: true is not a percentage'],
    [ring({ errors: { minStarted: 3 } }), 'rings[1].errors.percent: is missing'],
    [ring({ errors: { percent: 5, minStarted: 'x' } }), 'rings[1].errors.minStarted: "x" is not a whole number from 1 to 10000'],
    [ring({ errors: { percent: 5, minStart: 3 } }), 'rings[1].errors.minStart: unknown key; did you mean minStarted?'],
    [ring({ minVerified: 0 }), 'rings[1].minVerified: 0 is not a whole number from 1 to 10000'],
    [ring({ soak: 30 }), 'rings[1].soak: 30 is not a duration such as 30m, 2h, 7d or 1h30m'],
    [ring({ soak: '90d' }), 'rings[1].soak: "90d" is out of range: it can be 0s to 30 d'],
    [ring({ deadline: '0s' }), 'rings[1].deadline: "0s" is out of range: it can be 1 min to 365 d'],
    [ring({ share: '60%', labels: ['a b'] }), 'rings[1].labels[0]: "a b" is not possible: a label is'],
    [
      {
        rings: [
          { name: 'a', share: 60 },
          { name: 'b', share: '50%' },
        ],
      },
      'rings[1].share: "50%" is more than there is: the rings before it leave 40 %',
    ],
    [
      {
        rings: [
          { name: 'a', hosts: ['x'] },
          { name: 'b', hosts: ['y', 'x'] },
        ],
      },
      'rings[1].hosts[1]: "x" is in ring "a" already: a host is in one ring',
    ],
    [ring({ windows: [{ ...WINDOW, allow: 'at night' }] }), 'rings[1].windows[0].allow: "at night" is not a cron expression of five fields'],
    [ring({ windows: [{ ...WINDOW, timeZone: 'Berlin' }] }), 'rings[1].windows[0].timeZone: "Berlin" is not a time zone'],
    [ring({ windows: [{ ...WINDOW, deny: '0 1 * * *' }] }), 'rings[1].windows[0]: the set both allows and denies changes'],
    [ring({ windows: [{ duration: '1h', timeZone: 'UTC' }] }), 'rings[1].windows[0]: the set says neither when it allows changes nor'],
    [ring({ windows: WINDOW }), 'rings[1].windows: the set is not a list of windows'],
    [ring({ approvals: { role: 'boss' } }), 'rings[1].approvals.role: "boss" is not a role that can approve: these are approver and administrator'],
    [ring({ approvals: { notAuthor: 'yes' } }), 'rings[1].approvals.notAuthor: '],
    [ring({ approvals: { role: 'viewer' } }), 'rings[1].approvals.role: "viewer" is not a role that can approve'],
    [ring({ approvals: [] }), 'rings[1].approvals: [] is a list: write a set'],
    [ring({ probes: [{ name: 'errors' }, { name: 'errors' }] }), 'rings[1].probes[1].name: "errors" is a probe of this ring already'],
    [ring({ probes: [{ name: 'errors', url: 'http://169.254.169.254/' }] }), 'rings[1].probes[0].url: unknown key'],
    [ring({ probes: [{ name: 'http://10.0.0.1/' }] }), 'rings[1].probes[0].name: "http://10.0.0.1/" is not possible as the name of a probe'],
    [ring({ probes: [{ name: 'errors', every: '1s' }] }), 'rings[1].probes[0].every: "1s" is out of range: it can be 10 s to 1 d'],
    [ring({ probes: ['errors'] }), 'rings[1].probes[0]'],
    [ring({ pauseAfter: 'yes' }), 'rings[1].pauseAfter: "yes" is neither true nor false'],
    [{ labels: { 'a b': ['x'] } }, 'labels."a b": a host name is labels of 1 to 63 letters'],
    [{ labels: { ada: 'x' } }, 'labels.ada: "x" is not a list of labels'],
    [{ labels: { constructor: ['x'] } }, 'labels.constructor: this name is not possible here'],
    [JSON.parse('{ "labels": { "__proto__": ["x"] } }'), 'labels.__proto__: this name is not possible here'],
    [{ budgets: { 'role=dns': 0 } }, 'budgets."role=dns": 0 is not a whole number from 1 to 10000'],
    [{ checks: ['a', 'a'] }, 'checks[1]: "a" is named twice'],
    [{ downloads: { ahead: 'yes' } }, 'downloads.ahead: "yes" is neither true nor false'],
    [{ downloads: { spread: '2d' } }, 'downloads.spread: "2d" is out of range: it can be 0s to 1 d'],
    [{ downloads: { jitter: '1h' } }, 'downloads.jitter: unknown key'],
    [{ notify: { 'rollout-pause': ['chat'] } }, 'notify.rollout-pause: unknown key; did you mean rollout-paused?'],
    [{ notify: { 'rollout-paused': 'chat' } }, 'notify.rollout-paused: "chat" is not a list of names of notification targets'],
    [
      { notify: { 'rollout-paused': ['https://x'] } },
      'notify.rollout-paused[0]: "https://x" is not possible as the name of a notification target: 1 to 32 lower-case letters, digits and -',
    ],
    [{ steppingStones: 'a' }, 'steppingStones: "a" is not a list of names of stepping stones'],
    [{ steppingStones: ['a b'] }, 'steppingStones[0]: "a b" is not the name of a stepping stone'],
    [{ steppingStones: ['a', 'a'] }, 'steppingStones[1]: "a" is named twice'],
    [{ steppingStone: 'a' }, 'steppingStone: unknown key; did you mean steppingStones?'],
    [{ shrink: 50 }, 'shrink: 50 is not a set, { … }'],
    [{ shrink: { host: 3 } }, 'shrink.host: unknown key; did you mean hosts?'],
    [{ shrink: { hosts: 0 } }, 'shrink.hosts: 0 is not a whole number from 1 to 10000'],
    [{ shrink: { percent: 0.5 } }, 'shrink.percent: 0.5 is less than one percent'],
    [{ presence: { stale: '31d' } }, 'presence: a host cannot be lost (after 30 d) before it is stale (after 31 d)'],
    [{ maxInFlight: 1.5 }, 'maxInFlight: 1.5 is not a whole number from 1 to 10000'],
  ])('%j', (data, sentence) => {
    expect(problemsOf(data)).toContainEqual(expect.stringContaining(sentence));
  });

  test('all of them are told, but no more than twenty', () => {
    expect(problemsOf({ rings: [{ nam: 'a', sok: 1 }], max: 1 })).toEqual([
      'rings[0].nam: unknown key; did you mean name?',
      expect.stringContaining('rings[0].sok: unknown key; did you mean soak?'),
      expect.stringContaining('max: unknown key'),
    ]);
    const many = problemsOf({ checks: Array.from({ length: 90 }, (_, index) => index) });
    expect(many).toHaveLength(20);
    expect(many.at(-1)).toBe('and 71 more problems');
  });

  test.each<[string, unknown]>([
    ['1 MB of labels', { labels: Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`host${index}`, ['role=web', 'site=berlin']])) }],
    ['a text of 1 MB', { rings: [{ name: 'x'.repeat(1_000_000) }] }],
    ['a million entries', { checks: Array.from({ length: 1_000_000 }, () => 1) }],
  ])('%s are refused in one sentence', (_, data) => {
    expect(problemsOf(data)).toEqual([expect.stringMatching(/^floe: the policy is larger than 128 KiB/)]);
  });

  test('sets in sets are refused in one sentence', () => {
    let data: unknown = 1;
    for (let depth = 0; depth < 10_000; depth += 1) data = { rings: [data] };
    expect(problemsOf(data)).toEqual(['floe: the policy has sets or lists in each other, deeper than 12']);
  });
});

/** Every number of a policy, with its path. */
function numbersOf(value: unknown): readonly number[] {
  if (typeof value === 'number') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersOf) : [];
}

const name = fc.stringMatching(/^[a-z][a-z0-9]{0,7}$/);
const label = fc.oneof(
  name,
  fc.tuple(name, name).map(([key, value]) => `${key}=${value}`),
);
const percent = fc.oneof(
  fc.integer({ min: 0, max: 100 }),
  fc.integer({ min: 0, max: 100 }).map((number) => `${number}%`),
);
const duration = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.constantFrom('m', 'h')).map(([count, unit]) => `${count}${unit}`);
const count = fc.integer({ min: 1, max: 10_000 });
/** A set that may have any of these keys. */
function optional<T extends object>(keys: { [Key in keyof T]: fc.Arbitrary<T[Key]> }, requiredKeys: (keyof T)[] = []): fc.Arbitrary<Partial<T>> {
  return fc.record(keys, { requiredKeys, noNullPrototype: true });
}
const cron = fc.constantFrom('* * * * *', '0 22 * * mon-fri', '*/15 2-4 1,15 jan-jun 7', '59 23 31 12 0');
const timeZone = fc.constantFrom('UTC', 'host', 'Europe/Berlin', 'America/Argentina/Buenos_Aires');
const window = fc
  .tuple(fc.constantFrom('allow', 'deny'), cron, duration, timeZone)
  .map(([kind, at, long, zone]) => ({ [kind]: at, duration: long, timeZone: zone }));
const ring = optional(
  {
    name,
    success: percent,
    errors: fc.oneof(percent, optional({ percent, minStarted: count }, ['percent'])),
    minVerified: count,
    soak: duration,
    deadline: fc.oneof(duration, fc.constant(null)),
    maxInFlight: fc.oneof(count, fc.constant(null)),
    windows: fc.array(window, { maxLength: 3 }),
    approvals: fc.oneof(
      optional({ count: fc.integer({ min: 1, max: 20 }), role: fc.constantFrom(...APPROVING_ROLES), notAuthor: fc.boolean() }),
      fc.constant(null),
    ),
    probes: fc.uniqueArray(optional({ name: fc.constantFrom('errors', 'latency'), every: fc.constantFrom('10s', '1m') }, ['name']), {
      selector: (each) => each.name,
    }),
    pauseAfter: fc.boolean(),
  },
  ['name'],
);
/** Policies that a person could write. Names and members differ from ring to ring. */
const written = optional({
  rings: fc
    .tuple(fc.uniqueArray(ring, { minLength: 1, maxLength: 5, selector: (each) => each.name ?? '' }), fc.uniqueArray(label, { maxLength: 5 }))
    .map(([rings, labels]) =>
      rings.map((each, index) => ({ ...each, hosts: [`${each.name ?? ''}*`], labels: labels.slice(index, index + 1), share: 100 / rings.length })),
    ),
  labels: fc.dictionary(name, fc.array(label, { maxLength: 3 }), { maxKeys: 4, noNullPrototype: true }),
  maxInFlight: fc.oneof(count, fc.constant(null)),
  budgets: fc.dictionary(label, count, { maxKeys: 3, noNullPrototype: true }),
  checks: fc.uniqueArray(name, { maxLength: 3 }),
  steppingStones: fc.uniqueArray(name, { maxLength: 3 }),
  shrink: optional({ percent, hosts: count }),
  presence: optional({ stale: duration, lost: fc.integer({ min: 8, max: 3_000 }).map((days) => `${days}d`) }),
  downloads: optional({ ahead: fc.boolean(), spread: fc.constantFrom('0s', '10m', '1d') }),
  notify: optional({ 'rollout-paused': fc.uniqueArray(fc.constantFrom('chat', 'mail'), { maxLength: 2 }) }),
});

type Place = readonly (string | number)[];
/** Every set of a value, with its path. */
function setsOf(value: unknown, path: Place = []): readonly (readonly [Place, Record<string, unknown>])[] {
  if (typeof value !== 'object' || value === null) return [];
  const inner = Object.entries(value).flatMap(([key, each]) => setsOf(each, [...path, Array.isArray(value) ? Number(key) : key]));
  return Array.isArray(value) ? inner : [[path, value as Record<string, unknown>], ...inner];
}

describe('generated', () => {
  test('any value gives a policy with sane numbers, or problems, and never throws', () => {
    const key = fc.oneof(
      fc.constantFrom('rings', 'labels', 'share', 'windows', 'approvals', 'name', '__proto__', 'toString', 'budgets', 'errors'),
      fc.string(),
    );
    const value = fc.letrec<{ any: unknown }>((tie) => ({
      any: fc.oneof(
        { maxDepth: 5, depthIdentifier: 'any' },
        fc.anything({ withBigInt: true, withDate: true, withMap: true }),
        fc.constantFrom('1e9d', '100%', 1e308, -0, Number.NaN),
        fc.array(tie('any'), { maxLength: 4 }),
        fc.dictionary(key, tie('any'), { maxKeys: 5 }),
      ),
    })).any;
    fc.assert(
      fc.property(value, (data) => {
        const parsed = parseFleetPolicy(data);
        if (parsed.kind === 'policy') expect(numbersOf(parsed.policy).every((number) => Number.isFinite(number) && number >= 0)).toBe(true);
        else {
          expect(parsed.problems.length).toBeGreaterThan(0);
          expect(parsed.problems.length).toBeLessThanOrEqual(20);
          for (const each of parsed.problems) expect(each.length).toBeLessThan(1_500);
        }
      }),
    );
  });

  test('what a person could write is accepted, with sane numbers, and survives JSON', () => {
    fc.assert(
      fc.property(written, (data) => {
        const policy = policyOf(data);
        expect(numbersOf(policy).every((number) => Number.isFinite(number) && number >= 0)).toBe(true);
        expect(policy.rings).toHaveLength(data.rings?.length ?? 1);
        expect(policy.rings.map((each) => each.name)).toEqual(data.rings?.map((each) => each.name) ?? ['all']);
        expect(policyOf(JSON.parse(JSON.stringify(data)))).toEqual(policy);
      }),
    );
  });

  test('a mistyped key is named, with the right one, wherever it is', () => {
    fc.assert(
      fc.property(written, fc.nat(), fc.nat(), fc.nat(), (data, which, at, letter) => {
        const sets = setsOf(data).filter(([path, set]) => !/^(?:labels|budgets)$/.test(String(path[0])) && Object.keys(set).length > 0);
        const [path, set] = sets[which % sets.length] ?? [[], {}];
        const keys = Object.keys(set);
        const key = keys[at % keys.length];
        if (key === undefined) return;
        const position = letter % key.length;
        const mistyped = `${key.slice(0, position)}x${key.slice(position)}`;
        // The set is part of `data`.
        set[mistyped] = set[key];
        delete set[key];
        const found = problemsOf(data);
        expect(found).toContainEqual(expect.stringContaining(`${mistyped}: unknown key; did you mean ${key}?`));
        for (const part of path) expect(found.join('\n')).toContain(String(part));
      }),
    );
  });

  test('a wrong value is named by its path, wherever it is', () => {
    fc.assert(
      fc.property(written, fc.nat(), fc.nat(), (data, which, at) => {
        const sets = setsOf(data).filter(([, set]) => Object.keys(set).length > 0);
        const [path, set] = sets[which % sets.length] ?? [[], {}];
        const keys = Object.keys(set);
        const key = keys[at % keys.length];
        if (key === undefined) return;
        // No attribute can be one of these.
        const wrong = which % 2 === 0 ? -1 : 'é';
        set[key] = wrong;
        const place = [...path, key]
          .map((part) => (typeof part === 'number' ? `[${part}]` : part.includes('=') ? `."${part}"` : `.${part}`))
          .join('')
          .slice(1);
        expect(problemsOf(data)).toContainEqual(expect.stringContaining(`${place}: ${JSON.stringify(wrong)} `));
      }),
    );
  });
});
