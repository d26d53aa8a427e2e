import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { calmFleet, fleetView, hostView, NOW, reportView, revisionView, rolledBackHost, SHA } from './test/fixtures.ts';
import { makeHome, refusal, run, startServer, TOKEN, type Answer, type Run } from './test/harness.ts';
import { clockTime } from './view/clock-time.ts';

const UNREACHABLE = 'http://127.0.0.1:1';

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

/** Starts the server with these routes and gives how to run commands against it. */
async function serving(routes: Readonly<Record<string, Answer>>): Promise<(...argv: string[]) => Promise<Run>> {
  server = await startServer(routes);
  const env = { XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  return (...argv) => run(argv, env);
}

describe('a mistyped subcommand', () => {
  test.each([
    ['rollout resme', 'resume'],
    ['rollout resme --reason x', 'resume'],
    ['rollout aprove --ring canary --reason x', 'approve'],
    ['--server https://floe.example.org rollout abrt 3f9c2ab', 'abort'],
    ['token creat', 'create'],
    ['notify tst', 'test'],
    ['policy chek', 'check'],
    ['sttus', 'status'],
  ])('%s: the nearest is suggested, and the usage is wrong', async (line, meant) => {
    const { code, stdout, stderr } = await run(line.split(' '), { XDG_CONFIG_HOME: home.folder });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^floe: unknown command '/);
    expect(stderr).toContain(`(Did you mean ${meant}?)`);
  });

  test('that is near none: all are listed', async () => {
    const { code, stderr } = await run(['rollout', 'xyzzyx'], { XDG_CONFIG_HOME: home.folder });
    expect(code).toBe(2);
    expect(stderr).toMatch(/unknown command 'xyzzyx'\n\(The commands: status, hosts, plan, approve, pause, resume, abort/);
  });
});

describe('floe login', () => {
  test('tries the token, keeps it in a file that only the user can read, and other commands use it', async () => {
    server = await startServer({ 'GET /api/fleet': { json: fleetView() } });
    const env = { XDG_CONFIG_HOME: home.folder };
    const login = await run(['login', `${server.url}/`, '--token-file', home.tokenFile], env);
    expect(login).toEqual({
      code: 0,
      stdout: `Logged in to ${server.url} as ada (administrator): 3 hosts of https://git.example.org/fleet (main).\n`,
      stderr: '',
    });
    expect((await stat(home.configFile)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(home.configFile, 'utf8'))).toEqual({
      version: 1,
      current: server.url,
      servers: [{ url: server.url, token: TOKEN }],
    });
    expect((await run(['status'], env)).code).toBe(0);
  });

  test('reads the token from stdin, and keeps the login of another server', async () => {
    server = await startServer({ 'GET /api/fleet': { json: fleetView() } });
    const other = { url: 'https://other.example.org', token: 'other-token' };
    await mkdir(dirname(home.configFile));
    await writeFile(home.configFile, JSON.stringify({ version: 1, current: other.url, servers: [other] }));
    const { code } = await run(['login', server.url], { XDG_CONFIG_HOME: home.folder }, { stdin: Readable.from([`${TOKEN}\n`]) });
    expect(code).toBe(0);
    expect(JSON.parse(await readFile(home.configFile, 'utf8'))).toMatchObject({ current: server.url, servers: [other, { url: server.url }] });
  });

  test('asks on a terminal, and shows nothing of what is typed', async () => {
    server = await startServer({ 'GET /api/fleet': { json: fleetView() } });
    const raw: boolean[] = [];
    const keys = Readable.from([`${TOKEN}xy`, '\u007f\u007f', '\r']);
    const stdin = Object.assign(keys, { isTTY: true, setRawMode: (isRaw: boolean) => raw.push(isRaw) });
    const { code, stdout, stderr } = await run(['login', server.url], { XDG_CONFIG_HOME: home.folder }, { stdin });
    expect([code, raw]).toEqual([0, [true, false]]);
    expect(stderr).toBe(`Token for ${server.url}: \n`);
    expect(stdout).not.toContain(TOKEN);
  });

  test.each([
    ['Ctrl-U and Ctrl-W', ['wrong words\u0017\u0015', TOKEN, '\n']],
    ['keys cut within an escape', [`${TOKEN}y\u001b[`, 'D\u001b[3~', '\r']],
    ['a paste of more than a line', [`${TOKEN}\nand more\n`]],
    ['Ctrl-D, which ends an empty line only', [TOKEN, '\u0004', '\r']],
    ['the end of the input instead of Enter', [TOKEN]],
  ])('takes %s', async (_name, typed) => {
    server = await startServer({ 'GET /api/fleet': { json: fleetView() } });
    const stdin = Object.assign(Readable.from(typed), { isTTY: true, setRawMode: () => undefined });
    const { code, stdout, stderr } = await run(['login', server.url], { XDG_CONFIG_HOME: home.folder }, { stdin });
    expect([code, stderr]).toEqual([0, `Token for ${server.url}: \n`]);
    expect(stdout).not.toContain(TOKEN);
  });

  test('ends with 130 when Ctrl-C is typed instead of a token', async () => {
    const raw: boolean[] = [];
    const stdin = Object.assign(Readable.from(['abc\u0003']), { isTTY: true, setRawMode: (isRaw: boolean) => raw.push(isRaw) });
    expect(await run(['login', UNREACHABLE], { XDG_CONFIG_HOME: home.folder }, { stdin })).toMatchObject({ code: 130 });
    expect(raw).toEqual([true, false]);
  });

  test('ends with 130 when it is told to stop while it asks', async () => {
    const stop = new AbortController();
    const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => stop.abort() });
    expect(await run(['login', UNREACHABLE], { XDG_CONFIG_HOME: home.folder }, { stdin, signal: stop.signal })).toMatchObject({ code: 130 });
  });

  test('keeps nothing when the token is wrong', async () => {
    server = await startServer({});
    await writeFile(home.tokenFile, 'some-other-token');
    const { code, stderr } = await run(['login', server.url, '--token-file', home.tokenFile], { XDG_CONFIG_HOME: home.folder });
    expect(code).toBe(3);
    expect(stderr).toMatch(/does not know this token, or it expired or was revoked: .* ask an administrator/);
    expect(stderr).not.toContain('floe login');
    await expect(stat(home.configFile)).rejects.toThrow('ENOENT');
  });

  test.each([
    ['floe.example.org', 'is not a URL: write e.g. https://'],
    ['ftp://floe.example.org', 'neither https:// nor http://'],
    ['https://me:secret@floe.example.org', 'leave them out'],
  ])('refuses the URL %s', async (url, message) => {
    const { code, stderr } = await run(['login', url, '--token-file', home.tokenFile], { XDG_CONFIG_HOME: home.folder });
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('at ');
  });

  test('says that a token would be readable on the way', async () => {
    const fetch = (): Promise<Response> => Promise.reject(new TypeError('fetch failed'));
    const { stderr } = await run(['login', 'http://floe.example.org', '--token-file', home.tokenFile], { XDG_CONFIG_HOME: home.folder }, { fetch });
    expect(stderr).toContain('careful: over http://');
  });
});

describe('when something is wrong, floe says what to do', () => {
  test('not logged in', async () => {
    expect(await run(['status'], { XDG_CONFIG_HOME: home.folder })).toEqual({
      code: 3,
      stdout: '',
      stderr: 'floe: not logged in to a server yet: run: floe login URL\n',
    });
  });
  test('a server that someone else logged in to gets no token', async () => {
    server = await startServer({ 'GET /api/fleet': { json: fleetView() } });
    await run(['login', server.url, '--token-file', home.tokenFile], { XDG_CONFIG_HOME: home.folder });
    const { code, stderr } = await run(['status', '--server', UNREACHABLE], { XDG_CONFIG_HOME: home.folder });
    expect(code).toBe(3);
    expect(stderr).toContain(`not logged in to ${UNREACHABLE}: run: floe login ${UNREACHABLE}`);
  });
  test('nothing listens there', async () => {
    const floe = await serving({});
    await server?.[Symbol.asyncDispose]();
    expect(await floe('status')).toEqual({
      code: 4,
      stdout: '',
      stderr: `floe: cannot reach ${server?.url} (ECONNREFUSED): check the URL, the network and that the server runs\n`,
    });
  });
  test('something else answers', async () => {
    const page: Answer = (_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
    const { code, stderr } = await (await serving({ 'GET /api/fleet': page }))('status');
    expect(code).toBe(1);
    expect(stderr).toContain('is not JSON');
    expect(stderr).toContain('a Floe server of the same version');
  });
  test('the server moved: the token does not follow', async () => {
    const moved: Answer = (_request, response) => response.writeHead(301, { location: 'https://elsewhere.example.org/' }).end();
    expect(await (await serving({ 'GET /api/fleet': moved }))('status')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('redirect to https://elsewhere.example.org/: log in with that URL') as string,
    });
  });
  test('a gateway stands before a server that is away', async () => {
    const gateway: Answer = (_request, response) => response.writeHead(502).end('<h1>Bad gateway</h1>');
    expect(await (await serving({ 'GET /api/fleet': gateway }))('status')).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('does not reach the server (HTTP 502)') as string,
    });
  });
  test('the login file is damaged', async () => {
    await mkdir(dirname(home.configFile));
    await writeFile(home.configFile, '{');
    const { code, stderr } = await run(['status'], { XDG_CONFIG_HOME: home.folder });
    expect([code, stderr]).toEqual([1, `floe: ${home.configFile} is not as floe wrote it: remove it and log in again\n`]);
  });
  test('the token file is missing, or empty', async () => {
    const missing = join(home.folder, 'none');
    expect(await run(['status', '--server', UNREACHABLE, '--token-file', missing], {})).toMatchObject({
      code: 2,
      stderr: `floe: the token file ${missing} cannot be read (ENOENT)\n`,
    });
    await writeFile(home.tokenFile, '\n');
    expect(await run(['status', '--server', UNREACHABLE, '--token-file', home.tokenFile], {})).toMatchObject({
      code: 2,
      stderr: `floe: the token file ${home.tokenFile} is empty\n`,
    });
  });
  test.each([
    [['stauts'], 'Did you mean status?'],
    [['hosts', 'Not A Host'], "invalid for argument 'name'"],
    [['hosts', '--reports', '0'], 'a whole number from 1 to 9999'],
    [['revisions', 'xyz'], '7 to 40 hex digits'],
    [['revoke', 'ws1'], "required option '--reason <text>' not specified"],
    [['revoke', 'ws1', '--reason', ' '], 'say why in a few words'],
    [['accept', '3f9c2ab', '--reason', 'x'], '40 lower-case hex digits'],
  ])('floe %j is wrong usage', async (argv, message) => {
    const { code, stdout, stderr } = await run(argv, {});
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^floe: /);
    expect(stderr).toContain(message);
    expect(stderr).toContain('--help)');
  });
});

describe('floe status', () => {
  test('shows the repository, the newest revision and what needs a person', async () => {
    const floe = await serving({ 'GET /api/fleet': { json: fleetView() } });
    const { code, stdout } = await floe('status');
    expect(code).toBe(0);
    expect(stdout).toBe(`1 needs you: ws2 rolled back

Repository  https://git.example.org/fleet  (main, fetched 12 s ago)
Accepted    3f9c2ab1d0
Hosts       1 of 3 hosts in sync, 1 rolled back, 1 away
Connected   2 of 3 enrolled hosts online, 1 away

3f9c2ab1d0  Add the printer of the second floor  #7 by Ada Lovelace, published
  ✓ received   4 min ago
  ✓ fetched    400 ms
  ✓ evaluated  3.6 s
  ✓ built      12 s
  ✓ published  2.0 s
  … rollout    3 min 42 s  1 of 3 on it, 1 under way, 1 rolled back

What needs you
  ws2  3 min ago
    rolled back: the check "printer" failed 3 times
    → push a fix, or run: floe retry ws2 --reason "…"
`);
  });
  test('--exit-code tells a script', async () => {
    const floe = await serving({ 'GET /api/fleet': { json: fleetView() } });
    expect((await floe('status', '--exit-code')).code).toBe(10);
    await server?.[Symbol.asyncDispose]();
    const calm = await serving({ 'GET /api/fleet': { json: calmFleet() } });
    expect(await calm('status', '--exit-code')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^The only host is fine\n/) as string });
  });
  test('tells how to accept a held commit', async () => {
    const held = { commit: SHA, reason: 'it does not follow the accepted commit', since: NOW - 60_000 };
    const fleet = fleetView({ repository: { url: 'u', branch: 'main', acceptedCommit: null, lastFetchAt: null, problem: null, held } });
    const { stdout } = await (await serving({ 'GET /api/fleet': { json: fleet } }))('status');
    expect(stdout).toContain(`floe accept ${SHA} --reason "…"`);
  });
  test('tells how far a first fetch is that takes long', async () => {
    const fetching = { message: 'fetching the repository for the first time: 43 MB, 12,000 of 30,000 objects', since: NOW - 60_000 };
    const repository = { url: 'u', branch: 'main', acceptedCommit: null, lastFetchAt: null, problem: null, held: null, fetching };
    const { stdout } = await (await serving({ 'GET /api/fleet': { json: fleetView({ repository }) } }))('status');
    expect(stdout).toContain(`Under way   ${fetching.message} (begun 1 min ago)`);
  });
  test('an advice is told, and needs nobody', async () => {
    const advice = 'every host changes with every commit: a.nix:1 puts the commit or its date into the system';
    const calm = calmFleet();
    const floe = await serving({ 'GET /api/fleet': { json: { ...calm, repository: { ...calm.repository, advice } } } });
    expect(await floe('status', '--exit-code')).toMatchObject({ code: 0, stdout: expect.stringContaining(`Advice      ${advice}`) as string });
  });
  test('--json is what the server said, with what needs a person', async () => {
    const { stdout } = await (await serving({ 'GET /api/fleet': { json: fleetView() } }))('--json', 'status');
    expect(JSON.parse(stdout)).toMatchObject({
      version: 40,
      verdict: '1 needs you: ws2 rolled back',
      attention: [{ subject: 'ws2', words: 'rolled back' }],
    });
  });
});

describe('floe hosts', () => {
  const hosts = [hostView('ws10', { standing: 'away', isConnected: false, lastSeenAt: NOW - 7_200_000 }), rolledBackHost('ws2'), hostView('ada')];
  const ROUTES = {
    'GET /api/hosts': { json: hosts },
    'GET /api/hosts/ws2': { json: rolledBackHost('ws2') },
    'GET /api/hosts/ws2/reports?limit=10': { json: [reportView('ws2')] },
    'GET /api/hosts/ws3': refusal(404, 'HOST_UNKNOWN', 'there is no host ws3'),
    'GET /api/hosts/zebra': refusal(404, 'HOST_UNKNOWN', 'there is no host zebra'),
  };
  test('lists them in the order of people, in columns', async () => {
    const { stdout } = await (await serving(ROUTES))('hosts');
    expect(stdout)
      .toBe(`HOST  STANDING     STATE        SINCE      COMMIT      SUBJECT                              DESIRED   RUNNING   SEEN     TODO               WHY
ada   in sync      succeeded    50 s ago   3f9c2ab1d0  Add the printer of the second floor  aaaaaaaa  aaaaaaaa  now
ws2   rolled back  rolled back  3 min ago  3f9c2ab1d0  Add the printer of the second floor  bbbbbbbb  aaaaaaaa  now      push a fix, retry  rolled back: the check "printer" failed 3 times
ws10  away         succeeded    50 s ago   3f9c2ab1d0  Add the printer of the second floor  aaaaaaaa  aaaaaaaa  2 h ago
`);
  });
  test('--attention leaves out those that need nobody', async () => {
    const { stdout } = await (await serving(ROUTES))('hosts', '--attention', '--json');
    expect(JSON.parse(stdout)).toMatchObject([{ host: 'ws2' }]);
  });
  test('shows one host with its last reports', async () => {
    const { stdout } = await (await serving(ROUTES))('hosts', 'ws2');
    expect(stdout).toContain('Running     /nix/store/aaaaaaaa');
    expect(stdout).toContain('download 2.1 s, activate 340 ms');
  });
  test('says who ordered what of it: why, since and until when', async () => {
    const orders = [
      { kind: 'pin', sequence: 7, commit: 'c'.repeat(40), by: 'ada', reason: 'demo at noon', since: NOW, until: NOW + 3600_000 },
      { kind: 'hold', sequence: 6, by: 'bob', reason: 'a trip', since: NOW, until: null },
      { kind: 'deploy', sequence: 7, by: 'cyd', reason: 'sshd', since: NOW, until: NOW + 3600_000 },
    ];
    const floe = await serving({ ...ROUTES, 'GET /api/hosts/ws2': { json: { ...rolledBackHost('ws2'), orders } } });
    const time = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
    expect((await floe('hosts', 'ws2')).stdout).toContain(
      `\nOrdered\n  pinned to cccccccccc (revision #7) by ada since ${time(NOW)}, until ${time(NOW + 3600_000)}: demo at noon\n` +
        `  held on revision #6 by bob since ${time(NOW)}, until somebody ends it: a trip\n` +
        `  asked to take, over windows and "later", revision #7 by cyd since ${time(NOW)}, until ${time(NOW + 3600_000)}: sshd\n`,
    );
  });
  test('says what a host waits for, since when it is away, and who keeps it', async () => {
    const waiting = hostView('ws1', { standing: 'waiting', state: 'DEFERRED', detail: { code: 'ON_BATTERY', message: 'on battery with 12 %' } });
    const staged = hostView('ws2', { standing: 'waiting', state: 'BOOT_STAGED' });
    const kept = hostView('ws3', {
      standing: 'local-override',
      state: 'IDLE',
      stateSince: NOW - 7_200_000,
      detail: { code: 'LOCAL_OVERRIDE', message: 'its user went back to the system before' },
    });
    const away = hostView('ws4', { standing: 'away', isConnected: false, lastSeenAt: NOW - 7_200_000 });
    const views = [waiting, staged, kept, away];
    const floe = await serving({
      'GET /api/hosts': { json: views },
      'GET /api/fleet': { json: fleetView({ hosts: views }) },
      ...Object.fromEntries(
        views.flatMap((view) => [
          [`GET /api/hosts/${view.host}`, { json: view }],
          [`GET /api/hosts/${view.host}/reports?limit=10`, { json: [] }],
        ]),
      ),
    });
    const list = (await floe('hosts')).stdout.split('\n');
    expect(list[1]).toMatch(/^ws1 {3}waiting {16}deferred .* now {12}on battery with 12 %$/);
    expect(list[2]).toMatch(/^ws2 {3}waiting for a restart/);
    expect(list[3]).toMatch(/^ws3 {3}kept by its user .* its user went back to the system before$/);
    expect((await floe('hosts', '--attention')).stderr).toContain('no host needs attention');
    expect((await floe('status')).stdout).toContain('Hosts       0 of 4 hosts in sync, 2 waiting, 1 kept by user, 1 away');
    const since = `since ${clockTime(NOW - 7_200_000)} (2 h ago)`;
    expect((await floe('hosts', 'ws1')).stdout).toContain('\nWhy\n  on battery with 12 %\n');
    expect((await floe('hosts', 'ws3')).stdout).toContain(`Standing    kept by its user ${since}\n`);
    expect((await floe('hosts', 'ws4')).stdout).toContain(`Connection  away ${since}\n`);
  });
  test('asks whether the address is right when the server has no such path', async () => {
    const floe = await serving({});
    const answer = await floe('hosts');
    expect(answer.code).toBe(1);
    expect(answer.stderr).toMatch(/Is http:\/\/127\.0\.0\.1:\d+ a Floe server/);
  });
  test('shows the log of the last failure while the host is not in sync', async () => {
    const reports = [reportView('ws2', { seq: 7 }), reportView('ws2', { seq: 6, series: 1, state: 'ROLLED_BACK', hasLog: true })];
    const floe = await serving({
      ...ROUTES,
      'GET /api/hosts/ws2/reports?limit=10': { json: reports },
      'GET /api/hosts/ws2/reports/1/6/log': { json: { log: 'cups.service: failed\n\u001b[2Jlp0 on fire' } },
    });
    expect((await floe('hosts', 'ws2')).stdout).toContain('Log of 50 s ago, rolled back\n  cups.service: failed\n  lp0 on fire\n');
    expect(JSON.parse((await floe('hosts', 'ws2', '--json')).stdout)).toMatchObject({ log: expect.stringContaining('cups') as string });
    // The log was let go of meanwhile.
    await server?.[Symbol.asyncDispose]();
    const gone = { status: 404, json: { error: { code: 'LOG_UNKNOWN', message: 'there is no log of this report any more' } } };
    const pruned = await serving({ ...ROUTES, 'GET /api/hosts/ws2/reports?limit=10': { json: reports }, 'GET /api/hosts/ws2/reports/1/6/log': gone });
    expect(await pruned('hosts', 'ws2')).toMatchObject({ code: 0, stdout: expect.not.stringContaining('Log of') as string });
    await server?.[Symbol.asyncDispose]();
    const mended = await serving({
      'GET /api/hosts/ws2': { json: hostView('ws2') },
      'GET /api/hosts/ws2/reports?limit=10': { json: reports },
    });
    expect((await mended('hosts', 'ws2')).stdout).not.toContain('Log of');
  });
  test('an unknown name is answered with those that come near', async () => {
    const floe = await serving(ROUTES);
    expect(await floe('hosts', 'ws3')).toEqual({ code: 5, stdout: '', stderr: 'floe: there is no host ws3; did you mean ws2? (HOST_UNKNOWN)\n' });
    expect(await floe('hosts', 'zebra')).toMatchObject({ code: 5, stderr: 'floe: there is no host zebra; floe hosts lists them (HOST_UNKNOWN)\n' });
  });
  test('on a terminal: colours unless NO_COLOR, and never wider than it', async () => {
    server = await startServer(ROUTES);
    const env = { FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
    async function onTerminal(extra: Record<string, string>, columns: number): Promise<string> {
      let text = '';
      const stdout = { isTTY: true, columns, write: (chunk: string) => (text += chunk) };
      await run(['hosts', 'ws2'], { ...env, ...extra }, { stdout });
      await run(['hosts'], { ...env, ...extra }, { stdout });
      return text;
    }
    const coloured = await onTerminal({}, 200);
    expect(coloured).toContain('\u001b[31mrolled back\u001b[39m');
    expect(coloured).not.toContain('\ufffd');
    const narrow = await onTerminal({ NO_COLOR: '1' }, 50);
    expect(narrow).not.toContain('\u001b');
    expect(narrow.slice(narrow.indexOf('HOST '))).toBe(
      'HOST  STANDING     TODO               WHY\nada   in sync\nws2   rolled back  push a fix, retry  rolled back: the ch…\nws10  away\n',
    );
  });
});

describe('floe revisions', () => {
  test('lists them, newest first as the server has them', async () => {
    const { stdout } = await (await serving({ 'GET /api/revisions?limit=3': { json: [revisionView()] } }))('revisions', '--limit', '3');
    expect(stdout.split('\n')[1]).toBe(
      '7    3f9c2ab1d0  4 min ago  published  18 s          1 of 3 on it, 1 under way, 1 rolled back  Add the printer of the second floor',
    );
  });
  test('says which older commit one waits for, until when, and what goes faster', async () => {
    const open = { state: 'RECEIVED', evaluatedAt: null, builtAt: null, publishedAt: null, rollout: null } as const;
    const waiting = revisionView({ ...open, waits: { after: 'd'.repeat(40), until: NOW } });
    const { stdout } = await (await serving({ 'GET /api/revisions/3f9c2ab': { json: waiting } }))('revisions', '3f9c2ab');
    expect(stdout).toMatch(/waits for dddddddddd to be finished, until [\d-]+ \d\d:\d\d at the latest, or: floe rollout hotfix 3f9c2ab1d0 --reason/);
    expect(stdout).not.toMatch(/… \w/);
  });
  test('shows what one meant for each host, with whole errors that cannot steer the terminal', async () => {
    const broken = revisionView({
      state: 'EVAL_FAILED',
      error: 'no host evaluates',
      hosts: [{ host: 'ws1', outcome: 'EVAL_ERROR', toplevel: null, error: 'error: one\n\u001b[2Jtwo', evaluateMs: 5, buildMs: null }],
    });
    const { stdout } = await (await serving({ 'GET /api/revisions/3f9c2ab': { json: broken } }))('revisions', '3F9C2AB');
    expect(stdout).toContain('ws1   eval error  5 ms              –');
    expect(stdout).toContain('  error: one\n  two');
  });
  test('shows why its rollout failed on a host, and an error once', async () => {
    const told = { toplevel: null, evaluateMs: 5, buildMs: null };
    const rollout = {
      ...revisionView().rollout,
      counts: null,
      state: 'ROLLING',
      description: '0 of 2 hosts run it',
      startedAt: NOW,
      completedAt: null,
    };
    const failing = revisionView({
      hosts: [
        { host: 'ws1', outcome: 'CHANGED', error: null, ...told },
        { host: 'ws2', outcome: 'EVAL_ERROR', error: 'undefined variable', ...told },
      ],
      rollout: {
        ...rollout,
        state: 'ROLLING',
        hosts: [
          { host: 'ws1', standing: 'rolled-back', reason: 'the check "printer" failed' },
          { host: 'ws2', standing: 'behind', reason: 'undefined variable' },
        ],
      },
    });
    const { stdout } = await (await serving({ 'GET /api/revisions/3f9c2ab': { json: failing } }))('revisions', '3f9c2ab');
    expect(stdout).toContain('ws1  rolled back\n  the check "printer" failed\n');
    expect(stdout.split('undefined variable')).toHaveLength(2);
  });
  test('shows the warnings of each host, and which host is retried automatically', async () => {
    const told = { toplevel: null, evaluateMs: 5, buildMs: null };
    const mixed = revisionView({
      hosts: [
        { host: 'ws1', outcome: 'CHANGED', error: null, warnings: ['option x is deprecated', 'y is old'], retryAt: null, ...told },
        { host: 'ws2', outcome: 'EVAL_ERROR', error: 'waiting for input nixpkgs (https://x): 503', warnings: [], retryAt: NOW, ...told },
        { host: 'ws3', outcome: 'EVAL_ERROR', error: 'undefined variable', warnings: ['z'], retryAt: null, ...told },
      ],
    });
    const { stdout } = await (await serving({ 'GET /api/revisions/3f9c2ab': { json: mixed } }))('revisions', '3f9c2ab');
    expect(stdout.slice(stdout.indexOf('ws1 warns'))).toBe(`ws1 warns
  option x is deprecated
  y is old

ws2  is retried automatically
  waiting for input nixpkgs (https://x): 503

ws3
  undefined variable

ws3 warns
  z
`);
  });
  test('none yet, and one that is not there', async () => {
    const floe = await serving({
      'GET /api/revisions?limit=20': { json: [] },
      'GET /api/revisions/0000000': refusal(404, 'REVISION_UNKNOWN', 'no revision starts with 0000000'),
    });
    expect(await floe('revisions')).toEqual({ code: 0, stdout: '', stderr: 'floe: no revisions yet: push a commit to the tracked branch\n' });
    expect(await floe('revisions', '0000000')).toMatchObject({ code: 5, stderr: 'floe: no revision starts with 0000000 (REVISION_UNKNOWN)\n' });
  });
});

describe('floe enrol', () => {
  const made = {
    host: 'ws1',
    token: 'one-time-token-0123456789',
    expiresAt: NOW + 900_000,
    serverUrl: 'https://floe.example.org',
    releaseKeys: ['release-1:AAAA', 'release-2:BBBB'],
    serverKeys: ['server-1:CCCC'],
    substituter: 'https://floe.example.org/cache',
    cachePublicKeys: ['cache-1:DDDD'],
  };
  const ROUTES = { 'GET /api/hosts': { json: [hostView('ws1')] }, 'POST /api/hosts/ws1/enrolment-tokens': { status: 201, json: made } };

  test('shows the token, the settings to paste and the command of a folder machine', async () => {
    const { code, stdout, stderr } = await (await serving(ROUTES))('enrol', 'ws1');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('\n  one-time-token-0123456789\n');
    expect(stdout).toContain('trustedReleaseKeys = [ "release-1:AAAA" "release-2:BBBB" ];');
    expect(stdout).toContain("FLOE_TRUSTED_RELEASE_KEYS='release-1:AAAA release-2:BBBB' \\\n");
    expect(stdout).toContain('floe-agent run --root ./ws1');
    expect(stdout).toContain('for 15 min 0 s from now');
  });
  test('--out keeps the token off the screen', async () => {
    const floe = await serving(ROUTES);
    const file = join(home.folder, 'ws1.token');
    for (const { stdout } of [await floe('enrol', 'ws1', '--out', file), await floe('enrol', 'ws1', '--out', file, '--json')]) {
      expect(stdout).toContain(file);
      expect(stdout).not.toContain(made.token);
    }
    expect(await readFile(file, 'utf8')).toBe(`${made.token}\n`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });
  test('says that no revision has such a host, and which name comes near', async () => {
    const routes = { ...ROUTES, 'POST /api/hosts/ws11/enrolment-tokens': { status: 201, json: { ...made, host: 'ws11' } } };
    expect(await (await serving(routes))('enrol', 'ws11', '--json')).toMatchObject({
      code: 0,
      stderr: 'floe: no revision has a host ws11 yet: it waits for the commit that adds it (did you mean ws1?)\n',
    });
  });
});

describe('what an administrator decides', () => {
  test('goes to the server with its reason', async () => {
    const floe = await serving({
      'DELETE /api/hosts/ws1': { status: 204 },
      'DELETE /api/hosts/ws1/enrolment': { status: 204 },
      'DELETE /api/hosts/ws1/quarantine': { status: 204 },
      'DELETE /api/hosts/ws1/override': { status: 204 },
      'POST /api/repository/accept': { status: 204 },
    });
    expect(await floe('revoke', 'ws1', '--reason', ' stolen ')).toEqual({ code: 0, stdout: 'ws1 is revoked.\n', stderr: '' });
    expect(await floe('forget', 'ws1', '--reason', 'scrapped')).toEqual({ code: 0, stdout: 'ws1 is forgotten.\n', stderr: '' });
    expect(await floe('retry', 'ws1', '--reason', 'fixed', '--json')).toMatchObject({ code: 0, stdout: '{\n  "done": true\n}\n' });
    expect(await floe('resume', 'ws1', '--reason', 'mended')).toMatchObject({ code: 0, stdout: 'ws1 is told to follow the fleet again.\n' });
    expect(await floe('accept', SHA, '--reason', 'rewritten')).toMatchObject({ code: 0, stdout: '3f9c2ab1d0 is accepted.\n' });
    expect(server?.seen).toEqual([
      { method: 'DELETE', path: '/api/hosts/ws1/enrolment', body: { reason: 'stolen' } },
      { method: 'DELETE', path: '/api/hosts/ws1', body: { reason: 'scrapped' } },
      { method: 'DELETE', path: '/api/hosts/ws1/quarantine', body: { reason: 'fixed' } },
      { method: 'DELETE', path: '/api/hosts/ws1/override', body: { reason: 'mended' } },
      { method: 'POST', path: '/api/repository/accept', body: { commit: SHA, reason: 'rewritten' } },
    ]);
  });
  test('a machine gets another name, and what the server says of that is printed; a name that it had before is named', async () => {
    const message = 'ws1 is reception from now on. Its machine takes the system of reception when its turn comes.';
    const renamed = { error: { code: 'HOST_RENAMED', message: 'ws0 was renamed to ws1' } };
    const floe = await serving({
      'POST /api/hosts/ws1/rename': { json: { outcome: 'done', message } },
      'POST /api/hosts/ws0/rename': { status: 409, json: renamed },
      'GET /api/hosts/ws0': { status: 404, json: renamed },
    });
    expect(await floe('rename', 'ws1', 'reception', '--reason', ' moved ')).toEqual({ code: 0, stdout: `${message}\n`, stderr: '' });
    expect(server?.seen).toEqual([{ method: 'POST', path: '/api/hosts/ws1/rename', body: { to: 'reception', reason: 'moved' } }]);
    const stderr = expect.stringContaining('ws0 was renamed to ws1') as string;
    expect(await floe('rename', 'ws0', 'x', '--reason', 'moved')).toMatchObject({ code: 1, stdout: '', stderr });
    expect(await floe('hosts', 'ws0')).toMatchObject({ code: 5, stdout: '', stderr });
    expect(await floe('rename', 'ws1', '--reason', 'moved')).toMatchObject({ code: 2 });
    expect(await floe('rename', 'ws1', 'a/b', '--reason', 'moved')).toMatchObject({ code: 2 });
  });
  test.each([
    ['reopened', '3f9c2ab1d0 is evaluated again.\n'],
    ['retried', '3f9c2ab1d0 was waiting, and is tried again now.\n'],
  ])('a commit is evaluated again, and what came of that is said: %s', async (outcome, stdout) => {
    const floe = await serving({ 'POST /api/revisions/3f9c2ab/evaluate': { json: { sha: SHA, outcome } } });
    expect(await floe('evaluate', '3f9c2ab', '--reason', 'the builder is set up')).toEqual({ code: 0, stdout, stderr: '' });
    expect(server?.seen.at(-1)?.body).toEqual({ reason: 'the builder is set up' });
  });
  test.each([
    ['AHEAD', "The server goes by its machine's clock again: 2026-07-29 09:20 UTC.\n"],
    ['BEHIND', "The server goes by its machine's clock again: 2026-07-29 09:20 UTC.\n"],
    ['DIFFERS', "The server goes by its own clock (2026-07-29 09:20 UTC), and expects the database's clock to differ as it does now.\n"],
  ])('the server’s clock is accepted, and what was doubted is said: %s', async (was, stdout) => {
    const floe = await serving({ 'POST /api/server/clock': { json: { was, now: Date.UTC(2026, 6, 29, 9, 20) } } });
    expect(await floe('accept', 'clock', '--reason', 'set right')).toEqual({ code: 0, stdout, stderr: '' });
    expect(server?.seen).toEqual([{ method: 'POST', path: '/api/server/clock', body: { reason: 'set right' } }]);
  });
  test('a clock that nobody doubts is not accepted', async () => {
    const floe = await serving({ 'POST /api/server/clock': refusal(409, 'CLOCK_NOT_DOUBTED', 'the clock of this server is not doubted') });
    expect(await floe('accept', 'clock', '--reason', 'x')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'floe: the clock of this server is not doubted (CLOCK_NOT_DOUBTED)\n',
    });
  });
  test('is refused with the reason of the server', async () => {
    const floe = await serving({
      'GET /api/hosts': { json: [hostView('ws1')] },
      'DELETE /api/hosts/ws1/enrolment': refusal(404, 'HOST_NOT_ENROLLED', 'no agent is enrolled for ws1'),
      'DELETE /api/hosts/ws2/enrolment': refusal(404, 'HOST_NOT_ENROLLED', 'no agent is enrolled for ws2'),
      'DELETE /api/hosts/ws1/quarantine': refusal(409, 'NOTHING_TO_RETRY', 'there is nothing to try again: ws1 is in sync'),
      'POST /api/repository/accept': refusal(409, 'NOTHING_HELD', 'nothing is held'),
    });
    expect(await floe('revoke', 'ws1', '--reason', 'x')).toMatchObject({
      code: 5,
      stderr: 'floe: no agent is enrolled for ws1 (HOST_NOT_ENROLLED)\n',
    });
    expect(await floe('revoke', 'ws2', '--reason', 'x')).toMatchObject({
      code: 5,
      stderr: 'floe: there is no host ws2; did you mean ws1? (HOST_NOT_ENROLLED)\n',
    });
    expect(await floe('retry', 'ws1', '--reason', 'x')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'floe: there is nothing to try again: ws1 is in sync (NOTHING_TO_RETRY)\n',
    });
    expect(await floe('accept', SHA, '--reason', 'x')).toMatchObject({ code: 1, stderr: 'floe: nothing is held (NOTHING_HELD)\n' });
  });
});
