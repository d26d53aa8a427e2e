import type { RevisionView } from '@floe/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { storePath } from '@floe/views/fixtures';
import { fleetView, hostView, NOW, revisionView, SHA } from './test/fixtures.ts';
import { makeHome, refusal, run, sendEvent, startServer, type Answer, type Run } from './test/harness.ts';

let home: Awaited<ReturnType<typeof makeHome>>;
let server: Awaited<ReturnType<typeof startServer>> | undefined;
beforeEach(async () => {
  home = await makeHome();
});
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
  await home[Symbol.asyncDispose]();
});

const MINUTE = 60_000;
const counts = { eligible: 3, verified: 2, failed: 0, acknowledged: 0, inFlight: 1, waiting: 0, toCome: 0, away: 0 };
const ring = {
  needed: 2,
  building: 0,
  downloaded: 0,
  untried: null,
  soakMs: 30 * MINUTE,
  soakUntil: null,
  deadlineAt: null,
  opensAt: null,
  probes: [],
  missingApprovals: null,
};
const RINGS = [
  { ...ring, name: 'canary', state: 'current' as const, counts },
  { ...ring, name: 'all', state: 'to-come' as const, downloaded: 2, counts: { ...counts, verified: 0, inFlight: 0, toCome: 2, away: 1 } },
];
type Rollout = NonNullable<RevisionView['rollout']>;

function rolledOut(over: Partial<Rollout>): RevisionView {
  const { rollout, ...revision } = revisionView();
  return revisionView({ ...revision, rollout: { ...(rollout as Rollout), rings: RINGS, ...over } });
}
const FAILED: Partial<Rollout> = {
  state: 'PAUSED',
  description: 'paused at ring canary: 1 host failed: ws2 (the check "printer" failed)',
  pause: {
    cause: 'failures',
    description: '1 host failed: ws2 (the check "printer" failed)',
    failures: [{ host: 'ws2' as never, reason: 'the check "printer" failed', log: 'lpstat: no route\nlpstat: gave up', mayRetry: true }],
    later: [{ host: 'ws3' as never, reason: '' }],
    since: NOW - 5 * MINUTE,
  },
};

async function serving(seen: RevisionView, more: Readonly<Record<string, Answer>> = {}): Promise<(...argv: string[]) => Promise<Run>> {
  server = await startServer({ 'GET /api/rollout': { json: seen }, ...more });
  const env = { XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  return (...argv) => run(argv, env);
}
const as = (role: string): Readonly<Record<string, Answer>> => ({ 'GET /api/session': { json: { name: 'eve', role, kind: 'token' } } });
const done = (message: string): Answer => ({ json: { outcome: 'done', message } });

describe('floe rollout', () => {
  test('shows the rings, and what each waits for', async () => {
    const floe = await serving(rolledOut({ state: 'SOAKING', rings: [{ ...RINGS[0], soakUntil: NOW + 20 * MINUTE } as never, RINGS[1] as never] }));
    const { code, stdout } = await floe('rollout');
    expect(code).toBe(0);
    expect(stdout).toMatch(/the rollout soaks, begun 3 min ago/);
    expect(stdout).toMatch(/canary +soaks +2 +1 +– +– +– +soak until \d{4}-\d\d-\d\d \d\d:\d\d\n/);
    expect(stdout).toMatch(/all +to come +– +– +2 +– +1 +the rings before it; 2 of 3 have it downloaded/);
    expect(stdout).not.toContain('→');
  });

  test.each([
    [
      'operator',
      `push a fix, or run: floe rollout resume --seen=${NOW - 5 * MINUTE} --reason "…", or floe rollout abort ${SHA.slice(0, 10)} --reason "…", or floe rollout abort ${SHA.slice(0, 10)} --revert --reason "…", or floe retry ws2 --reason "…"`,
    ],
    ['viewer', 'push a fix, or ask an operator to resume or abort it'],
  ])('names what failed, and what a %s can do', async (role, todo) => {
    const floe = await serving(rolledOut(FAILED), as(role));
    const { code, stdout } = await floe('rollout', 'status', '--exit-code');
    expect(code).toBe(10);
    expect(stdout).toContain('ws2\n  the check "printer" failed');
    expect(stdout.trim().split('\n').at(-1)).toBe(`→ ${todo}`);
  });

  test('shows who asked what, and who paused it', async () => {
    const freeze = { by: 'bob', reason: 'holidays', at: NOW - MINUTE, until: NOW + MINUTE };
    const orders = [{ kind: 'approve' as const, by: 'ada', role: 'approver' as const, reason: 'tried it', at: NOW - 60 * MINUTE, ring: 'canary' }];
    const stops = [{ ...freeze, label: 'role=dns', reason: 'moved', until: null }];
    const { stdout } = await (await serving(rolledOut({ freeze, stops, orders })))('rollout');
    expect(stdout).toMatch(/Label role=dns paused by bob 1 min ago\n {2}moved/);
    expect(stdout).toMatch(/Paused by bob 1 min ago, until .*\n {2}holidays/);
    expect(stdout).toMatch(/1 h ago +ada +approve canary +tried it/);
  });

  test('watches until it is over, and prints only what changed', async () => {
    const steps = [rolledOut({}), rolledOut({}), rolledOut({ state: 'COMPLETE' })];
    let asked = 0;
    const floe = await serving(revisionView(), {
      'GET /api/rollout': (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(steps[Math.min(asked, 2)]));
        asked += 1;
      },
      'GET /api/events': (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        sendEvent(response, 'snapshot', fleetView());
        sendEvent(response, 'change', { type: 'revision', version: 41, at: NOW, revision: revisionView() });
      },
    });
    const { code, stdout } = await floe('rollout', 'status', '--watch', '--json');
    expect(code).toBe(0);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as RevisionView).rollout?.state),
    ).toEqual(['ROLLING', 'COMPLETE']);
  });

  test('before the first rollout, and while the commit is evaluated again, says so', async () => {
    const none = await serving(revisionView({ rollout: null }));
    expect(await none('rollout')).toMatchObject({ code: 5, stderr: expect.stringContaining('is evaluated again') as string });
    await server?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    const notYet = refusal(404, 'NO_ROLLOUT', 'nothing was rolled out yet');
    const never = await serving(revisionView(), {
      'GET /api/rollout': notYet,
      'POST /api/rollout/pause': { json: { outcome: 'done', message: 'All rollouts are paused.' } },
      'POST /api/rollout/resume': { json: { outcome: 'done', message: 'It is over.' } },
    });
    expect(await never('rollout')).toMatchObject({ code: 5, stderr: 'floe: nothing was rolled out yet (NO_ROLLOUT)\n' });
    expect(await never('rollout', 'abort', '--reason', 'x')).toMatchObject({ code: 5, stderr: 'floe: nothing was rolled out yet (NO_ROLLOUT)\n' });
    expect(await never('rollout', 'pause', '--reason', 'x')).toMatchObject({ code: 0, stdout: 'All rollouts are paused.\n' });
    expect(await never('rollout', 'resume', '--reason', 'x')).toMatchObject({ code: 0, stdout: 'It is over.\n' });
  });
});

describe('floe rollout hosts', () => {
  const hosts = [
    { host: 'ws10', ring: 'canary', countedAs: 'verified', text: '' },
    { host: 'ws2', ring: 'canary', countedAs: 'verified', text: '' },
    { host: 'ws3', ring: 'canary', countedAs: 'inFlight', text: 'checking' },
    { host: 'ws4', ring: 'all', countedAs: 'toCome', text: '' },
    { host: 'ws6', ring: 'all', countedAs: null, text: "it is kept on another release than the newest commit's" },
    { host: 'ws5', ring: 'all', countedAs: 'away', text: 'last seen\n3 days ago' },
  ];

  test('names who is how far, ring by ring, and whom the rollout does not ask', async () => {
    const floe = await serving(rolledOut({ state: 'ROLLING' }), { 'GET /api/rollout/hosts': { json: { sha: SHA, hosts } } });
    const { code, stdout } = await floe('rollout', 'hosts');
    expect(code).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.trimEnd().replaceAll(/ +/g, ' ')),
    ).toEqual([
      'RING HOST PART WHY',
      'canary ws2 verified',
      'canary ws10 verified',
      'canary ws3 under way checking',
      'all ws5 away last seen',
      'all ws4 to come',
      "all ws6 not asked it is kept on another release than the newest commit's",
    ]);
    const { stdout: json } = await floe('rollout', 'hosts', '--json');
    expect(JSON.parse(json)).toEqual({ sha: SHA, hosts });
  });

  test('of a ring that there is not, or that has none, says so', async () => {
    const none = { json: { sha: SHA, hosts: [] } };
    const floe = await serving(rolledOut({}), { 'GET /api/rollout/hosts?ring=all': none });
    expect(await floe('rollout', 'hosts', '--ring', 'all')).toEqual({
      code: 0,
      stdout: '',
      stderr: 'floe: the commit changes no host of ring all\n',
    });
    const unknown = 'floe: there is no ring other: the policy has canary, all\n';
    expect(await floe('rollout', 'hosts', '--ring', 'other')).toEqual({ code: 5, stdout: '', stderr: unknown });
  });
});

describe('floe rollout plan', () => {
  const known = { eligible: 2, connected: 2, gates: ['at least 1 verified', 'soak 30 min'], missingApprovals: null, isSkipped: false, held: null };
  const rings = [
    { ...known, name: 'canary', hosts: ['ws1', 'ws2'], beginsAt: NOW, passesAt: NOW + 30 * MINUTE },
    { ...known, name: 'empty', hosts: [], eligible: 0, connected: 0, isSkipped: true, beginsAt: null, passesAt: null },
    {
      ...known,
      name: 'all',
      hosts: ['ws3', 'ws4'],
      connected: 1,
      missingApprovals: { count: 1, role: 'approver', notAuthor: false, weaker: [], notAsked: [] },
      beginsAt: null,
      passesAt: null,
      held: 'person',
    },
  ];
  const plan = { sha: SHA, state: 'SOAKING', waits: null, unpublished: null, rings, stopped: [] };

  test('says who, when and under which gates, and what the times assume', async () => {
    const floe = await serving(rolledOut({}), { 'GET /api/rollout/plan': { json: plan } });
    const { code, stdout } = await floe('rollout', 'plan');
    expect(code).toBe(0);
    expect(stdout).toContain('the earliest times: if hosts verify, and people approve, at once');
    expect(stdout).toMatch(/canary +2 +– +\S.*\d\d:\d\d/);
    expect(stdout).toMatch(/empty +– +– +skipped: no host of it changes/);
    expect(stdout).toMatch(/all +2 +1 +after a person resumes it +1 more approval \(approver or higher\)/);
    expect(stdout).toContain('Ring canary  ws1, ws2\n  at least 1 verified\n  soak 30 min');
    expect(JSON.parse((await floe('rollout', 'plan', '--json')).stdout)).toEqual(plan);
  });

  test('of a commit that waits says what for, and of one that is over that nothing is to come', async () => {
    const waits = { for: 'train', after: 'b'.repeat(40), until: null };
    const waiting = { ...plan, state: 'NEXT', waits, rings: [{ ...rings[0], beginsAt: null, passesAt: null, held: 'train' }] };
    const floe = await serving(rolledOut({}), { [`GET /api/rollout/plan?commit=${SHA.slice(0, 8)}`]: { json: waiting } });
    const { stdout } = await floe('rollout', 'plan', SHA.slice(0, 8));
    expect(stdout).toContain('the rollout waits for the train of bbbbbbbbbb');
    expect(stdout).toMatch(/canary +2 +– +after the rollout before it/);
    await server?.[Symbol.asyncDispose]();
    const over = await serving(rolledOut({}), { 'GET /api/rollout/plan': { json: { ...plan, state: 'COMPLETE', rings: [] } } });
    expect((await over('rollout', 'plan')).stdout).toContain('the rollout is complete\nNothing is to come.');
  });

  test('of a commit that is not published yet says what is known, and what is not', async () => {
    const unpublished = { state: 'EVALUATING', text: '1 of 4 hosts evaluated', isListed: true, evaluating: 3, building: 1, failed: 1 };
    const next = { ...plan, state: 'NEXT', unpublished };
    const told = async (more: object): Promise<string> => {
      await server?.[Symbol.asyncDispose]();
      const floe = await serving(rolledOut({}), { [`GET /api/rollout/plan?commit=${SHA.slice(0, 8)}`]: { json: { ...next, ...more } } });
      return (await floe('rollout', 'plan', SHA.slice(0, 8))).stdout;
    };
    const text = await told({});
    expect(text).toContain('the rollout has not begun\nIt is not published yet: 1 of 4 hosts evaluated.\n');
    expect(text).toContain('3 hosts are still evaluated, and in no ring below');
    expect(text).toContain('1 host is still to be built');
    expect(text).toContain('1 host does not evaluate or build, and keeps what it has.');
    expect(text).toMatch(/canary +2/);
    const received = await told({
      unpublished: { ...unpublished, state: 'RECEIVED', text: 'received, about to be evaluated', isListed: false, evaluating: 0 },
      rings: [],
    });
    expect(received).toContain('Its policy and its hosts are not read yet');
    expect(received).not.toContain('RING');
  });

  const north = { label: 'site=north', by: 'bob', until: null, hosts: ['ws9'], count: 1 };
  test('names hosts whose label is paused, with what ends that', async () => {
    const dns = { label: 'role=dns', by: 'bob', until: NOW + 20 * MINUTE, hosts: ['ns1', 'ns2'], count: 2 };
    const paused = await serving(rolledOut({}), { 'GET /api/rollout/plan': { json: { ...plan, stopped: [dns, north] } } });
    const told = (await paused('rollout', 'plan')).stdout;
    expect(told).toMatch(/\n2 hosts with the label role=dns wait until the pause of bob ends, \d{4}-\d\d-\d\d \d\d:\d\d \(ns1, ns2\)\.\n/);
    expect(told).toContain('1 host with the label site=north waits until somebody runs: floe rollout resume --label site=north --reason "…" (ws9).');
  });
  test('says that they still wait when all rings have passed', async () => {
    const passed = await serving(rolledOut({}), { 'GET /api/rollout/plan': { json: { ...plan, state: 'COMPLETE', rings: [], stopped: [north] } } });
    expect((await passed('rollout', 'plan')).stdout).toContain('All rings have passed.\n1 host with the label site=north waits');
  });
});

describe('floe why', () => {
  test('names each rule that stands between the host and the newest commit, and what ends it', async () => {
    const why = [
      { rule: 'ring', text: 'ring all waits for canary: 2 of 3 verified', end: 'when canary has passed; see: floe rollout' },
      { rule: 'away', text: 'it is not connected', end: 'when it comes back' },
    ];
    const lastTrial = { id: 't1', commit: SHA, by: 'ada', endedAt: NOW - MINUTE, result: 'this machine tries no systems', hasFailed: true };
    const floe = await serving(rolledOut({}), {
      'GET /api/hosts/ws1/why': { json: why },
      'GET /api/hosts/ws1': { json: hostView('ws1') },
      'GET /api/hosts/ws2/why': { json: [] },
      'GET /api/hosts/ws2': { json: hostView('ws2', { lastTrial }) },
    });
    expect(await floe('why', 'ws1')).toEqual({
      code: 0,
      stdout:
        'ring all waits for canary: 2 of 3 verified\n  → when canary has passed; see: floe rollout\nit is not connected\n  → when it comes back\n',
      stderr: '',
    });
    expect((await floe('why', 'ws2')).stdout).toBe(
      `ws2 runs the newest commit.\nthe trial of ${SHA.slice(0, 10)}, which ada asked for, failed: this machine tries no systems (1 min ago)\n`,
    );
    expect(JSON.parse((await floe('why', 'ws1', '--json')).stdout)).toEqual(why);
  });

  test('says what is wrong with the host, with the code that docs have', async () => {
    const trouble = { code: 'PERMIT_REFUSED', message: 'going back to an older release failed: an operator has to sign it', since: NOW - MINUTE };
    const floe = await serving(rolledOut({}), {
      'GET /api/hosts/ws1/why': { json: [{ rule: 'under-way', text: 'nothing: it is on its way', end: 'in a moment' }] },
      'GET /api/hosts/ws1': { json: hostView('ws1', { trouble, problem: trouble.message }) },
    });
    expect((await floe('why', 'ws1')).stdout).toBe(
      `nothing: it is on its way\n  → in a moment\nWhat needs you\n  ws1  PERMIT_REFUSED  1 min ago\n    ${trouble.message}\n`,
    );
  });
});

describe('floe try', () => {
  test.each([
    [['try', 'ws1', SHA.slice(0, 7), '--for', '30m'], 'POST', { commit: SHA.slice(0, 7), forMs: 30 * MINUTE }],
    [['try', 'ws1', SHA.slice(0, 7)], 'POST', { commit: SHA.slice(0, 7) }],
    [['try', 'ws1', '--end'], 'DELETE', {}],
  ] as const)('%j', async (argv, method, body) => {
    const floe = await serving(rolledOut({}), { [`${method} /api/hosts/ws1/trial`]: done('ws1 follows the fleet again.') });
    expect(await floe(...argv, '--reason', 'why')).toEqual({ code: 0, stdout: 'ws1 follows the fleet again.\n', stderr: '' });
    expect(server?.seen.at(-1)).toMatchObject({ method, path: '/api/hosts/ws1/trial', body: { reason: 'why', ...body } });
  });

  test.each([
    ['runs', { state: 'TRYING' }, 0, 'ws1 runs it now\n'],
    ['failed', { lastTrial: { hasFailed: true } }, 1, 'failed: this machine tries no systems\n'],
    ['ended', { lastTrial: { hasFailed: false } }, 0, 'is over: this machine tries no systems\n'],
    ['waiting', { isConnected: false }, 0, 'ws1 is not connected: it begins when it comes back, if that is before the end\n'],
  ] as const)('prints what the machine answers: %s', async (kind, seen, code, text) => {
    const lastTrial = { id: 't1', commit: SHA, by: 'ada', endedAt: NOW, result: 'this machine tries no systems' };
    const trial = { id: 't1', commit: SHA, toplevel: storePath('aaaaaaaa'), endsAt: NOW + MINUTE, by: 'ada', reason: 'why' };
    const view = hostView('ws1', {
      stateToplevel: trial.toplevel,
      ...('lastTrial' in seen ? { trial: null, lastTrial: { ...lastTrial, ...seen.lastTrial } } : { trial, ...seen }),
    });
    const answer = { outcome: 'done', message: 'ws1 is asked to try it.', trial: 't1' };
    const floe = await serving(rolledOut({}), {
      'POST /api/hosts/ws1/trial': { json: answer },
      'GET /api/hosts/ws1': { json: view },
    });
    const printed = await floe('try', 'ws1', SHA.slice(0, 7), '--reason', 'why');
    expect(printed).toMatchObject({ code, stdout: expect.stringContaining(text) as string });
    expect(printed.stdout).toContain('ws1 is asked to try it.\n');
    const asJson = await floe('try', 'ws1', SHA.slice(0, 7), '--reason', 'why', '--json');
    expect(JSON.parse(asJson.stdout)).toMatchObject({ ...answer, host: { kind } });
    expect((await floe('try', 'ws1', SHA.slice(0, 7), '--reason', 'why', '--no-wait')).stdout).toBe('ws1 is asked to try it.\n');
  });

  test('a time that is too long is refused by the name of its option', async () => {
    const { code, stderr } = await (await serving(rolledOut({})))('try', 'ws1', SHA.slice(0, 7), '--for', '48h', '--reason', 'x');
    expect(code).toBe(2);
    expect(stderr).toContain('--for <time>');
    expect(stderr).toContain('a trial lasts 24 hours at most');
    expect(stderr).not.toContain('forMs');
  });

  test('wants a commit, or its end', async () => {
    const floe = await serving(rolledOut({}));
    for (const argv of [
      ['try', 'ws1'],
      ['try', 'ws1', SHA.slice(0, 7), '--end'],
    ])
      expect(await floe(...argv, '--reason', 'x')).toMatchObject({ code: 2 });
  });
});

describe('floe pin, hold and unpin', () => {
  test.each([
    [['pin', 'ws1', SHA.slice(0, 7)], 'POST', '/api/hosts/ws1/pin', { commit: SHA.slice(0, 7) }],
    [['pin', 'ws1', '--until', '4h'], 'POST', '/api/hosts/ws1/pin', { until: NOW + 240 * MINUTE }],
    [['hold', 'ws1'], 'POST', '/api/hosts/ws1/hold', {}],
    [['unpin', 'ws1'], 'DELETE', '/api/hosts/ws1/pin', {}],
  ] as const)('%j', async (argv, method, path, body) => {
    const floe = await serving(rolledOut({}), { [`${method} ${path}`]: done('ws1 follows the fleet again.') });
    expect(await floe(...argv, '--reason', 'why')).toEqual({ code: 0, stdout: 'ws1 follows the fleet again.\n', stderr: '' });
    expect(server?.seen.at(-1)).toMatchObject({ method, path, body: { reason: 'why', ...body } });
  });

  test.each([
    ['published', { state: 'PUBLISHED' }, 0, 'is published and signed'],
    ['failed', { state: 'FAILED', result: 'it is no NixOS system' }, 1, 'it is no NixOS system'],
    ['failed', { id: 'another' }, 1, 'another store path of ws1 replaced it'],
  ] as const)('with a store path waits for what the server makes of it: %s, %j', async (kind, seen, code, text) => {
    const toplevel = storePath('aaaaaaaa');
    const submission = { id: 's1', toplevel, state: 'WAITING', by: 'ada', reason: 'why', since: NOW, endedAt: null, result: '', ...seen } as const;
    const answer = { outcome: 'done', message: 'ws1 is pinned to it.', submission: 's1' };
    const floe = await serving(rolledOut({}), {
      'POST /api/hosts/ws1/submission': { json: answer },
      'GET /api/hosts/ws1': { json: hostView('ws1', { submission }) },
    });
    const argv = ['pin', 'ws1', '--store-path', toplevel, '--reason', 'why'];
    const printed = await floe(...argv);
    expect(printed).toMatchObject({ code, stdout: expect.stringContaining(text) as string });
    expect(printed.stdout).toContain('ws1 is pinned to it.\n');
    expect(JSON.parse((await floe(...argv, '--json')).stdout)).toMatchObject({ ...answer, server: { kind } });
    expect((await floe(...argv, '--no-wait', '--until', '4h')).stdout).toBe('ws1 is pinned to it.\n');
    expect(server?.seen.at(-1)?.body).toEqual({ reason: 'why', storePath: toplevel, until: NOW + 240 * MINUTE });
  });

  test.each([
    [['ws1', SHA, '--store-path', storePath('aaaaaaaa')]],
    [['ws1', '--store-path', '/etc/passwd']],
    [['ws1', '--store-path', '/nix/store/x']],
  ])('floe pin %j is wrong usage, and asks nobody', async (argv) => {
    const floe = await serving(rolledOut({}));
    expect((await floe('pin', ...argv, '--reason', 'x')).code).toBe(2);
    expect(server?.seen).toEqual([]);
  });

  test('a date without a time is its midnight where the user is', async () => {
    const floe = await serving(rolledOut({}), { 'POST /api/hosts/ws1/hold': done('it is.') });
    await floe('hold', 'ws1', '--reason', 'x', '--until', '2027-01-04');
    expect(server?.seen.at(-1)?.body).toMatchObject({ until: new Date(2027, 0, 4).getTime() });
  });
});

describe('floe deploy', () => {
  test('asks for one host after another; what one is refused stops none of the others', async () => {
    const floe = await serving(rolledOut({}), {
      'POST /api/hosts/ws1/deploy': done('ws1 takes it.'),
      'POST /api/hosts/ws2/deploy': refusal(409, 'NOT_ITS_TURN', 'ws2 waits for canary'),
      'POST /api/hosts/ws3/deploy': done('ws3 takes it.'),
    });
    const argv = ['deploy', 'ws1', 'ws2', 'ws3', '--reason', 'sshd', '--until', '2h'];
    expect(await floe(...argv)).toEqual({ code: 1, stdout: 'ws1 takes it.\nws3 takes it.\n', stderr: 'floe: ws2 waits for canary (NOT_ITS_TURN)\n' });
    expect(server?.seen.at(-1)).toMatchObject({ path: '/api/hosts/ws3/deploy', body: { reason: 'sshd', isNow: false, until: NOW + 120 * MINUTE } });
    await floe('deploy', 'ws1', '--now', '--reason', 'x');
    expect(server?.seen.at(-1)?.body).toEqual({ reason: 'x', isNow: true });
  });

  test.each([[[]], [['ws1']], [['a b', '--reason', 'x']], [['--reason', 'x']]])('%j is wrong usage, and asks nobody', async (argv) => {
    const floe = await serving(rolledOut({}));
    expect((await floe('deploy', ...argv)).code).toBe(2);
    expect(server?.seen).toEqual([]);
  });
});

describe('what people ask of a rollout', () => {
  test.each([
    [['approve'], { commit: SHA, ring: 'canary' }],
    [['approve', '--seen=-abcdefg'], { commit: SHA, ring: 'canary', seen: '-abcdefg' }],
    [['approve', '--ring', 'all', '--commit', SHA.slice(0, 8)], { commit: SHA, ring: 'all' }],
    [['pause'], {}],
    [['pause', '--until', '2h'], { until: NOW + 120 * MINUTE }],
    [['resume'], { since: NOW - 5 * MINUTE }],
    [['resume', '--seen=70'], { since: 70 }],
    [['abort'], { commit: SHA }],
    [['hotfix'], { commit: SHA }],
    [['hotfix', '--now'], { commit: SHA, now: true }],
  ])('%j is asked of the commit, ring and pause that it saw', async ([what = '', ...more], body) => {
    const floe = await serving(rolledOut(FAILED), { [`POST /api/rollout/${what}`]: done('it is so.') });
    expect(await floe('rollout', what, ...more, '--reason', 'because')).toEqual({ code: 0, stdout: 'It is so.\n', stderr: '' });
    expect(server?.seen.at(-1)).toMatchObject({ method: 'POST', path: `/api/rollout/${what}`, body: { reason: 'because', ...body } });
  });

  test('a hotfix may be a newer commit that waits, by the first characters of its id', async () => {
    const newer = 'b'.repeat(40);
    const floe = await serving(rolledOut(FAILED), {
      'GET /api/revisions/bbbbbbb': { json: { ...rolledOut(FAILED), sha: newer } },
      'POST /api/rollout/hotfix': done('it is so.'),
    });
    expect(await floe('rollout', 'hotfix', 'bbbbbbb', '--reason', 'because')).toEqual({ code: 0, stdout: 'It is so.\n', stderr: '' });
    expect(server?.seen.at(-1)).toMatchObject({ path: '/api/rollout/hotfix', body: { reason: 'because', commit: newer } });
  });

  test('the glass is broken for the newest commit, or for one by the first characters of its id', async () => {
    const newer = 'b'.repeat(40);
    const floe = await serving(rolledOut(FAILED), {
      'GET /api/revisions/bbbbbbb': { json: { ...rolledOut(FAILED), sha: newer } },
      'GET /api/revisions?limit=1': { json: [{ ...rolledOut(FAILED), sha: newer }] },
      'POST /api/rollout/break-glass': done('it passes.'),
    });
    for (const named of [['bbbbbbb'], []]) {
      expect(await floe('rollout', 'break-glass', ...named, '--reason', 'because')).toEqual({ code: 0, stdout: 'It passes.\n', stderr: '' });
      expect(server?.seen.at(-1)).toMatchObject({ path: '/api/rollout/break-glass', body: { reason: 'because', commit: newer } });
    }
  });

  test('says what the server says against it', async () => {
    const floe = await serving(rolledOut({}), { 'POST /api/rollout/abort': refusal(409, 'ROLLOUT_ENDED', 'it is complete') });
    expect(await floe('rollout', 'abort', '--reason', 'x')).toEqual({ code: 1, stdout: '', stderr: 'floe: it is complete (ROLLOUT_ENDED)\n' });
  });

  test.each([
    [['approve']],
    [['approve', '--reason', ' ']],
    [['approve', '--reason', 'x', '--seen', 'short']],
    [['resume', '--reason', 'x', '--seen', 'yesterday']],
    [['approve', '--reason', 'x', '--ring', 'no such ring!']],
    [['abort', '--reason', 'x', '--commit', 'HEAD']],
    [['pause', '--reason', 'x', '--until', 'tomorrow']],
    [['pause', '--reason', 'x', '--until', '2027-13-40']],
  ])('%j is wrong usage, and asks nobody', async (argv) => {
    const floe = await serving(rolledOut({}));
    expect((await floe('rollout', ...argv)).code).toBe(2);
    expect(server?.seen).toEqual([]);
  });

  test('of another commit than hosts follow is refused here', async () => {
    const floe = await serving(rolledOut({}));
    expect(await floe('rollout', 'abort', '--reason', 'x', '--commit', 'd'.repeat(40))).toMatchObject({ code: 1, stdout: '' });
    expect(server?.seen.map(({ method }) => method)).toEqual(['GET']);
  });
});
