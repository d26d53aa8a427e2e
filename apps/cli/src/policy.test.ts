import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { parseFleetPolicy } from '@floe/protocol';
import { exec, readCron } from '@floe/runtime';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeHome, run, type Run } from './test/harness.ts';

let home: Awaited<ReturnType<typeof makeHome>>;

beforeEach(async () => {
  home = await makeHome();
});
afterEach(async () => {
  await home[Symbol.asyncDispose]();
});

const WINDOW = { duration: '2h', timeZone: 'Europe/Berlin' };
const HOSTS = {
  ws1: { labels: ['laptop'], ring: null },
  ws2: {},
  ws10: { labels: null, ring: 'canary' },
  dns1: { labels: ['role=dns'] },
  constructor: { labels: ['laptop'] },
};
const RINGS = [
  { name: 'canary', hosts: ['ws1'] },
  { name: 'laptops', labels: ['laptop'] },
  { name: 'all', soak: '1h' },
];

/** Checks a fleet that comes from a file, as Nix would print it. */
async function check(fleet: unknown, ...more: string[]): Promise<Run> {
  return await run(['policy', 'check', await file('fleet.json', fleet), ...more], {});
}

async function file(name: string, content: unknown): Promise<string> {
  const path = join(home.folder, name);
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('floe policy check', () => {
  test('shows the gates of each ring, and who is in it and why', async () => {
    const { code, stdout, stderr } = await check({ floe: { rings: RINGS, budgets: { 'role=dns': 1 } }, hosts: HOSTS });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatchInlineSnapshot(`
      "Ring canary: 2 hosts
        pauses when any host failed
        at least 1 verified
        80 % of the started hosts verified
        soak 30 min
        deadline 1 d
        no approval, at any time, no limit of its own, no probe, goes on by itself

      Ring laptops: 1 host
        pauses when more than 10 % of the started hosts failed, once 3 started, or all of fewer
        at least 1 verified
        80 % of the started hosts verified
        soak 10 min
        deadline 1 d
        no approval, at any time, no limit of its own, no probe, goes on by itself

      Ring all: 2 hosts
        pauses when more than 10 % of the started hosts failed, once 3 started, or all of fewer
        at least 1 verified
        80 % of the started hosts verified
        soak 1 h
        deadline 1 d
        no approval, at any time, no limit of its own, no probe, goes on by itself

      Fleet
        at most 10 at once
        at most 1 at once with the label role=dns
        no checks before a release
        no stepping stones
        downloads ahead, spread over 10 min
        a commit is held when more than 50 % of the hosts are gone, and at least 3
        a host is stale after 7 d, lost after 30 d

      HOST         RING     LABELS    WHY
      ws1          canary   laptop    the policy names it
      ws10         canary             its own configuration names the ring
      constructor  laptops  laptop    label laptop
      dns1         all      role=dns  no rule names it
      ws2          all                no rule names it
      "
    `);
  });

  test('without a policy there is one ring, and nothing waits', async () => {
    const { code, stdout } = await check({ floe: null, hosts: { ws1: {} } });
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `Ring all: 1 host
  at least 1 verified
  no approval, at any time, no limit of its own, never pauses for failures, no percentage of verified hosts needed, no probe, no soak, no deadline, goes on by itself

Fleet
  no limit of hosts at once
  no checks before a release
  no stepping stones
  downloads ahead, spread over 10 min
  a commit is held when more than 50 % of the hosts are gone, and at least 3
  a host is stale after 7 d, lost after 30 d

HOST  RING  WHY
ws1   all   no rule names it

Notes
  there is no output floe, so all hosts are in one ring, and nothing waits
`,
    });
  });

  test('of a policy alone shows the gates', async () => {
    const { code, stdout } = await check({ rings: RINGS });
    expect(code).toBe(0);
    expect(stdout).toContain('Ring canary\n  pauses when any host failed');
    expect(stdout).not.toContain('HOST');
  });

  test('names each mistake with its path, its value and what was meant, and fails', async () => {
    const { code, stdout, stderr } = await check({
      floe: {
        rings: [
          { name: 'canary', sok: '1h' },
          { name: 'all', soak: 'long' },
        ],
      },
      hosts: HOSTS,
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.split('\n')).toEqual([
      'floe: rings[0].sok: unknown key; did you mean soak?',
      expect.stringContaining('floe: rings[1].soak: "long" is not a duration'),
      '',
    ]);
  });

  test('a ring that its host misspelt, one that never opens, and a check that is none, and what the server does not take from a host, are problems', async () => {
    const windows = [{ ...WINDOW, allow: '0 2 30 2 *' }];
    const { code, stdout, stderr } = await check({
      floe: { rings: [RINGS[0], { name: 'all', windows }], checks: ['unit'] },
      hosts: { ...HOSTS, ws2: { ring: 'canari' }, ws3: { labels: ['a b'] }, ws4: { labels: 'x' }, ws5: { ring: 1 } },
      checks: ['units'],
    });
    expect(code).toBe(1);
    expect(stderr.split('\n')).toEqual([
      expect.stringContaining('floe: ws3: services.floe.agent.labels[0]: "a b" is not possible'),
      expect.stringContaining('floe: ws4: services.floe.agent.labels: is not a list of texts'),
      expect.stringContaining('floe: ws5: services.floe.agent.ring: this value is not possible'),
      'floe: ws2: services.floe.agent.ring: its configuration names the ring "canari", which the policy does not have; did you mean canary?',
      'floe: rings[1].windows: together they never open within a year, so the ring and those after it get no changes',
      'floe: checks[0]: "unit" is not a check of the flake; did you mean units?',
      '',
    ]);
    expect(stdout).toMatch(/^ws2 +all +no rule names it$/m);
  });

  test('windows by each host’s time are looked at in the time zone of each host of the ring', async () => {
    const windows = [
      { allow: '0 2 * * *', duration: '1h', timeZone: 'host' },
      { deny: '0 16 * * *', duration: '4h', timeZone: 'UTC' },
    ];
    const hosts = { ws1: {}, ws2: { timeZone: 'Asia/Tokyo' }, ws3: { timeZone: 'Asia/Toyko' }, ws4: { timeZone: null } };
    const { code, stdout, stderr } = await check({ floe: { rings: [{ name: 'all', windows }] }, hosts });
    expect(code).toBe(1);
    expect(stderr.split('\n')).toEqual([
      'floe: ws3: time.timeZone: "Asia/Toyko" is not a time zone, and windows of ring all go by it',
      'floe: rings[0].windows: together they never open within a year for hosts in Asia/Tokyo, which get no changes',
      '',
    ]);
    expect(stdout).toContain('only from "0 2 * * *" for 1 h (the time zone of each host)');
  });

  test('what is probably not meant is a note, and no failure', async () => {
    const { code, stdout } = await check({
      floe: {
        rings: [
          { name: 'canary', hosts: ['ws01', 'ws*'] },
          { name: 'empty', labels: ['desktop', 'laptops'] },
          {
            name: 'all',
            windows: [
              { ...WINDOW, allow: '0 2 * * *' },
              { ...WINDOW, allow: '0 3 * * *' },
              { ...WINDOW, deny: '0 3 * * *' },
            ],
          },
        ],
        labels: { ws3: ['a'] },
        budgets: { 'role=dn': 1 },
      },
      hosts: { ...HOSTS, 'no/host': {} },
    });
    expect(code).toBe(0);
    expect(stdout.split('Notes\n')[1]?.trimEnd().split('\n')).toEqual([
      expect.stringContaining('  "no/host" in nixosConfigurations is left out: a host name is'),
      '  rings[2].windows[1]: the window "0 3 * * *" in Europe/Berlin never opens: windows that deny cover it for the whole year',
      '  rings[1]: nobody is in ring empty',
      '  rings[0].hosts[0]: there is no host ws01; did you mean ws1?',
      '  rings[1].labels[0]: no host has the label desktop',
      '  rings[1].labels[1]: no host has the label laptops; did you mean laptop?',
      '  labels.ws3: there is no host ws3; did you mean ws1?',
      '  budgets."role=dn": no host has the label role=dn; did you mean role=dns?',
    ]);
  });

  test('windows that begin too often to be looked at for a year are a problem, as they are for the server', async () => {
    const windows = Array.from({ length: 40 }, (_, index) => ({ deny: `${index % 2}-59/2 * * * *`, duration: '1m', timeZone: 'UTC' }));
    const { code, stdout } = await check({ floe: { rings: [{ name: 'all', windows }] }, hosts: HOSTS });
    expect(code).toBe(1);
    expect(stdout).toContain('rings[0].windows: the windows of this policy begin so often');
  });

  test('--against shows what is weaker and stronger, and who moves', async () => {
    const before = await file('before.json', { floe: { rings: RINGS }, hosts: HOSTS });
    const after = {
      floe: { rings: [{ ...RINGS[0], soak: '0s' }, { ...RINGS[1], minVerified: 2 }, RINGS[2]] },
      hosts: { ...HOSTS, ws10: {}, ws11: {} },
    };
    const { code, stdout } = await check(after, '--against', before);
    expect(code).toBe(0);
    expect(stdout.split(`Changes since ${before}\n`)[1]).toMatchInlineSnapshot(`
      "CHANGE    WHAT
      weaker    ring canary: no soak instead of soak 30 min
      weaker    1 host from ring canary to ring all: ws10
      stronger  ring laptops: at least 2 verified instead of at least 1 verified

      HOST  FROM    TO   WHY
      ws10  canary  all  no rule names it
      "
    `);
    expect((await check(after, '--against', join(home.folder, 'fleet.json'))).stdout).toMatch(/Changes since .*\n {2}none\n$/);
  });

  test('--against a policy that cannot be read shows the new one, and says so', async () => {
    const before = await file('before.json', { floe: { ring: [] } });
    const { code, stdout, stderr } = await check({ floe: { rings: RINGS }, hosts: HOSTS }, '--against', before);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^floe: nothing to compare: the policy of .* cannot be read:\n  ring: unknown key; did you mean rings\?\n$/),
    });
    expect(stdout).toContain('Ring canary: 2 hosts');
  });

  test('--json prints the same for programs', async () => {
    const before = await file('before.json', { floe: { rings: RINGS.slice(1) }, hosts: HOSTS });
    const { code, stdout } = await check({ floe: { rings: RINGS }, hosts: HOSTS }, '--json', '--against', before);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      problems: [],
      notes: [],
      rings: RINGS.map(({ name }) => ({
        name,
        gates: expect.arrayContaining(['at least 1 verified']),
        idle: expect.arrayContaining(['no approval']),
      })),
      fleet: expect.arrayContaining(['at most 10 at once', 'a host is stale after 7 d, lost after 30 d']),
      hosts: expect.arrayContaining([{ host: 'ws10', ring: 'canary', why: 'its own configuration names the ring', labels: [] }]),
      changes: expect.arrayContaining([{ direction: 'other', text: 'ring canary is new' }]),
      moved: [
        { host: 'ws1', from: 'laptops', to: 'canary', why: 'the policy names it' },
        { host: 'ws10', from: 'all', to: 'canary', why: 'its own configuration names the ring' },
      ],
    });
    const broken = await check({ floe: { rings: 1 }, hosts: HOSTS }, '--json');
    expect({ code: broken.code, ...JSON.parse(broken.stdout) }).toEqual({
      code: 1,
      problems: ['rings: 1 is not a list of rings: write [ { name = "canary"; } { name = "all"; } ]'],
      notes: [],
      rings: [],
      fleet: [],
      hosts: [],
    });
  });

  test.each<[unknown, string]>([
    ['{', 'is not JSON'],
    [{ floe: {}, hosts: ['ws1'] }, 'hosts: is not a set of hosts: write { "ws1": { } }'],
    [{ floe: {}, hosts: null }, 'hosts: is not a set of hosts'],
    [{ floe: {}, hosts: { ws1: 'laptop' } }, 'hosts.ws1: "laptop" is not a set, { … }; the keys here are labels, ring, timeZone, formerHost'],
    [{ floe: {}, hosts: { constructor: { lables: ['laptop'] } } }, 'hosts.constructor.lables: unknown key; did you mean labels?'],
    [{ floe: {}, host: {} }, 'host: unknown key; did you mean hosts?'],
    [{ hosts: {}, rings: [] }, 'rings: unknown key; the keys here are floe, hosts, checks'],
    [{ floe: {}, checks: { unit: 1 } }, 'checks: the set is not a list of names of flake checks: write [ "unit" ]'],
    [{ floe: {}, checks: [1] }, 'checks[0]: 1 is not the name of a flake check: write "unit"'],
  ])('a file with %j is wrong usage', async (content, said) => {
    const { code, stderr } = await check(content);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(said) });
    expect(stderr).not.toMatch(/Invalid|received/);
  });

  test('a host that fits two rings is told with both, and a policy that was forgotten with what holds then', async () => {
    const rings = [
      { name: 'canary', labels: ['canary'] },
      { name: 'web', hosts: ['web*', 'mail'] },
      { name: 'shop', hosts: ['*-shop'], labels: ['shop'] },
      { name: 'all' },
    ];
    const hosts = { 'web-shop': {}, ws1: { labels: ['shop', 'canary'] }, mail: { ring: 'canary' }, web1: { labels: ['shop'] } };
    const { code, stdout } = await check({ floe: { rings }, hosts });
    expect(code).toBe(0);
    expect(/WHY\n((?:.+\n)+)/.exec(stdout)?.[1]?.replaceAll(/ {2,}/g, '  ').trimEnd().split('\n')).toEqual([
      'mail  canary  its own configuration names the ring; not in ring web: the policy names it',
      'ws1  canary  shop canary  label canary; not in ring shop: label shop',
      'web-shop  web  the policy names web*; not in ring shop: the policy names *-shop',
      'web1  web  shop  the policy names web*',
    ]);
    expect(JSON.parse((await check({ hosts }, '--json')).stdout)).toMatchObject({
      notes: ['there is no output floe, so all hosts are in one ring, and nothing waits'],
    });
  });

  test('reads the standard input, and says what it cannot find', async () => {
    const { code, stdout } = await run(['policy', 'check', '-'], {}, { stdin: Readable.from([JSON.stringify({ floe: null, hosts: { ws1: {} } })]) });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('Ring all: 1 host') });
    const missing = await run(['policy', 'check', join(home.folder, 'nothing')], {});
    expect({ code: missing.code, stderr: missing.stderr }).toEqual({ code: 2, stderr: expect.stringContaining('name the folder of the flake') });
  });

  test('without Nix says where to go on', async () => {
    await writeFile(join(home.folder, 'flake.nix'), '{ }\n');
    const { code, stderr } = await run(
      ['policy', 'check', home.folder],
      {},
      { exec: async (name, args, options) => await exec(`${name}-that-is-missing`, args, options) },
    );
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('nix is not installed here') });
  });

  test('text of a fleet cannot steer the terminal', async () => {
    const { stdout, stderr } = await check({
      floe: { rings: [{ name: 'all' }] },
      hosts: { ws1: { labels: ['\u001b[31mred'], ring: '\u001b]0;x\u0007' } },
    });
    expect(stdout + stderr).not.toMatch(/\p{Cc}(?<!\n)/u);
  });

  test('a fleet of 10,000 hosts takes some seconds at most', async () => {
    const hosts = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`host${index}`, { labels: [`site=${index % 7}`] }]));
    const rings = [{ name: 'canary', share: 1 }, { name: 'early', share: 10 }, { name: 'all' }];
    const start = performance.now();
    const { code, stdout } = await check({ floe: { rings }, hosts });
    expect(code).toBe(0);
    expect(stdout.split('\n').length).toBeGreaterThan(10_000);
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

test('every cron expression that a policy accepts can be read later, and one that is not accepted is no crash', () => {
  const names = [[], [], [], ['jan', 'JUN', 'dec'], ['sun', 'Wed', 'sat']] as const;
  const limits = [
    [0, 59],
    [0, 23],
    [1, 31],
    [1, 12],
    [0, 7],
  ] as const;
  const fields = limits.map(([min, max], index) => {
    const one = fc.oneof(fc.integer({ min, max }).map(String), fc.constantFrom(...(names[index] ?? []), '00', '07'));
    const span = fc.oneof(
      fc.constant('*'),
      one,
      fc.tuple(one, one).map((two) => two.join('-')),
    );
    const stepped = fc.tuple(span, fc.integer({ min: 1, max: max + 1 })).map((two) => two.join('/'));
    return fc
      .array(fc.oneof({ weight: 3, arbitrary: fc.constant('*') }, span, stepped), { minLength: 1, maxLength: 2 })
      .map((parts) => parts.join(','));
  });
  fc.assert(
    fc.property(
      fc.tuple(...fields).map((all) => all.join(' ')),
      (cron) => {
        const parsed = parseFleetPolicy({ rings: [{ name: 'all', windows: [{ allow: cron, duration: '1h', timeZone: 'UTC' }] }] });
        if (parsed.kind === 'policy') expect(readCron(cron, 'UTC').kind, cron).toBe('times');
      },
    ),
    { examples: [['0 0 * * */8'], ['*/60 */24 */31 */12 */7']] },
  );
});
