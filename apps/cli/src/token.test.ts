import { ROLES } from '@floe/model';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { NOW } from './test/fixtures.ts';
import { makeHome, refusal, run, startServer, type Answer, type Run } from './test/harness.ts';

const HOUR_MS = 3600_000;
const DAY_MS = 24 * HOUR_MS;
const SECRET = 'floe_a-secret-that-is-shown-once';

let home: Awaited<ReturnType<typeof makeHome>>;
let server: Awaited<ReturnType<typeof startServer>> | undefined;
beforeAll(async () => {
  home = await makeHome();
});
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});
afterAll(async () => await home[Symbol.asyncDispose]());

async function serving(routes: Readonly<Record<string, Answer>>): Promise<(...argv: string[]) => Promise<Run>> {
  server = await startServer(routes);
  const env = { FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  return async (...argv) => await run(argv, env);
}

describe('floe token create', () => {
  const made = { name: 'ci', role: 'viewer', token: SECRET, expiresAt: NOW + 30 * DAY_MS };

  test('shows the token, its end, and how to use it', async () => {
    const floe = await serving({ 'POST /api/tokens': { status: 201, json: made } });
    const { code, stdout, stderr } = await floe('token', 'create', 'ci', '--role', 'viewer', '--expires', '30d');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.split(SECRET)).toHaveLength(2);
    expect(stdout).toContain('ci (viewer)');
    expect(stdout).toContain('in 30 d 0 h');
    expect(stdout).toContain(`floe login ${server?.url}`);
    expect(server?.seen).toEqual([{ method: 'POST', path: '/api/tokens', body: { name: 'ci', role: 'viewer', expiresInMs: 30 * DAY_MS } }]);
    expect(JSON.parse((await floe('token', 'create', 'ci', '--role', 'viewer', '--json')).stdout)).toEqual(made);
    expect(server?.seen.at(-1)?.body).toEqual({ name: 'ci', role: 'viewer' });
  });

  test.each(ROLES)('takes the role %s', async (role) => {
    const floe = await serving({ 'POST /api/tokens': { status: 201, json: { ...made, role, expiresAt: null } } });
    const { code, stdout } = await floe('token', 'create', 'ci', '--role', role);
    expect(code).toBe(0);
    expect(stdout).toContain(`(${role})`);
    expect(stdout).toContain('It has no end.');
  });

  test.each([
    ['no role', ['ci'], /--role/],
    ['an unknown role', ['ci', '--role', 'root'], /the roles are submitter, viewer, operator, approver, administrator/],
    ['a role in capitals', ['ci', '--role', 'Viewer'], /the roles are/],
    ['a name that no token may have', ['Ada Lovelace', '--role', 'viewer'], /lower-case/],
    ['a path as its name', ['../admin', '--role', 'viewer'], /lower-case/],
    ['the server’s name', ['floe', '--role', 'viewer'], /choose another/],
    ['an end in the past', ['ci', '--role', 'viewer', '--expires', '-1d'], /how long from now on/],
    ['a date of the past', ['ci', '--role', 'viewer', '--expires', '2020-01-01'], /how long from now on/],
    ['an end now', ['ci', '--role', 'viewer', '--expires', '0d'], /at least a minute/],
    ['an end in a century', ['ci', '--role', 'viewer', '--expires', '100y'], /ten years/],
  ])('refuses %s, and asks no server', async (_what, argv, message) => {
    const floe = await serving({});
    const { code, stderr } = await floe('token', 'create', ...argv);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(stderr).toContain('floe token create --help');
    expect(server?.seen).toEqual([]);
  });

  test('takes every duration that comes to a minute or more, and to ten years at most', async () => {
    const floe = await serving({ 'POST /api/tokens': { status: 201, json: made } });
    const units = { m: 60_000, h: HOUR_MS, d: DAY_MS, w: 7 * DAY_MS, y: 365 * DAY_MS };
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 200 }), fc.constantFrom(...(Object.keys(units) as (keyof typeof units)[])), async (n, unit) => {
        const ms = n * units[unit];
        const { code } = await floe('token', 'create', 'ci', '--role', 'viewer', '--expires', `${n}${unit}`);
        expect(code).toBe(ms >= 60_000 && ms <= 10 * 365.25 * DAY_MS ? 0 : 2);
        if (code === 0) expect(server?.seen.at(-1)?.body).toMatchObject({ expiresInMs: ms });
      }),
      { numRuns: 40 },
    );
  });

  test('says what the server says: a name twice', async () => {
    const floe = await serving({ 'POST /api/tokens': refusal(409, 'TOKEN_NAME_TAKEN', 'there is a token ci already') });
    expect(await floe('token', 'create', 'ci', '--role', 'viewer')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'floe: there is a token ci already (TOKEN_NAME_TAKEN)\n',
    });
  });
});

test('floe token list shows each token with its role, last use and end', async () => {
  const token = { name: 'admin', role: 'administrator', createdAt: NOW - DAY_MS, createdBy: null, lastUsedAt: NOW - 120_000, expiresAt: null };
  const others = [
    {
      ...token,
      name: 'ci',
      role: 'viewer',
      person: 'grace',
      forgeLogin: 'gh',
      signer: 'grace@example.org',
      createdBy: 'admin',
      lastUsedAt: null,
      expiresAt: NOW + 5 * DAY_MS,
    },
    { ...token, name: 'old', role: null, expiresAt: NOW - DAY_MS },
  ];
  const floe = await serving({ 'GET /api/tokens': { json: [token, ...others] } });
  const { code, stdout } = await floe('token', 'list');
  expect(code).toBe(0);
  const [head = '', ...rows] = stdout.trimEnd().split('\n');
  expect(head.split(/\s{2,}/)).toEqual(['NAME', 'ROLE', 'PERSON', 'FORGE LOGIN', 'SIGNS AS', 'USED', 'ENDS', 'MADE']);
  expect(rows.map((row) => row.split(/\s{2,}/).slice(0, 5))).toEqual([
    ['admin', 'administrator', 'admin', '2 min ago', 'never'],
    ['ci', 'viewer', 'grace', 'gh', 'grace@example.org'],
    ['old', 'unreadable', 'old', '2 min ago', 'ended 24 h ago'],
  ]);
  expect(rows[1]).toMatch(/ by admin$/);
});

describe('floe token set', () => {
  test.each([
    [['--person', 'grace'], { person: 'grace' }],
    [['--forge-login', 'Renovate[bot]'], { forgeLogin: 'renovate[bot]' }],
    [['--signer', 'Ada@example.org'], { signer: 'Ada@example.org' }],
    [['--signer', '0123 4567 89ab cdef 0123  4567 89ab cdef 0123 4567'], { signer: '0123456789ABCDEF0123456789ABCDEF01234567' }],
    [['--no-person', '--no-forge-login', '--no-signer'], { person: null, forgeLogin: null, signer: null }],
  ])('%j says %j', async (argv, body) => {
    const floe = await serving({ 'POST /api/tokens/ci': { status: 204 } });
    expect(await floe('token', 'set', 'ci', '--reason', 'why', ...argv)).toEqual({ code: 0, stdout: 'The token ci is changed.\n', stderr: '' });
    expect(server?.seen).toEqual([{ method: 'POST', path: '/api/tokens/ci', body: { reason: 'why', ...body } }]);
  });

  test.each([
    ['nothing to say', [], /--person, --forge-login or --signer/],
    ['a login that no forge has', ['--forge-login', 'ada lovelace'], /a login at a forge/],
    ['a signer with spaces', ['--signer', 'Ada Lovelace'], /a signer is a name/],
    ['two signers', ['--signer', 'ada@example.org,bob@example.org'], /a signer is a name/],
    ['a person in capitals', ['--person', 'Grace'], /lower-case/],
  ])('refuses %s, and asks no server', async (_what, argv, message) => {
    const floe = await serving({});
    const { code, stderr } = await floe('token', 'set', 'ci', '--reason', 'why', ...argv);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(server?.seen).toEqual([]);
  });
});

describe('floe token revoke', () => {
  test('needs a reason, and says that it is done', async () => {
    const floe = await serving({ 'DELETE /api/tokens/ci': { status: 204 } });
    expect((await floe('token', 'revoke', 'ci')).code).toBe(2);
    expect((await floe('token', 'revoke', 'ci', '--reason', ' ')).code).toBe(2);
    expect(await floe('token', 'revoke', 'ci', '--reason', 'lost')).toEqual({ code: 0, stdout: 'The token of ci is revoked.\n', stderr: '' });
    expect(server?.seen).toEqual([{ method: 'DELETE', path: '/api/tokens/ci', body: { reason: 'lost' } }]);
  });

  test.each([
    [404, 'TOKEN_UNKNOWN', 'there is no token ci', 5],
    [409, 'LAST_ADMINISTRATOR', 'first make another one', 1],
    [403, 'ROLE_TOO_LOW', 'bob is a viewer here, and this needs the role administrator: ask an administrator (ada)', 3],
  ])('says why not: %i %s', async (status, code, message, exitCode) => {
    const floe = await serving({ 'DELETE /api/tokens/ci': refusal(status, code, message) });
    expect(await floe('token', 'revoke', 'ci', '--reason', 'lost')).toEqual({ code: exitCode, stdout: '', stderr: `floe: ${message} (${code})\n` });
  });
});

describe('floe log', () => {
  const entry = { id: 2, at: NOW, actor: 'ada', action: 'revoke', subject: 'ws1', detail: 'stolen\non the train', refused: null };
  const refused = { ...entry, id: 1, actor: 'bob', action: 'accept-clock', subject: '3f9c2ab1d0'.repeat(4), refused: { count: 12, lastAt: NOW } };

  test('shows who decided what, and a refusal with its count', async () => {
    const floe = await serving({ 'GET /api/audit?limit=20': { json: [entry, refused] } });
    const { code, stdout } = await floe('log');
    expect(code).toBe(0);
    const rows = stdout.trimEnd().split('\n');
    expect(rows.map((row) => row.split(/\s{2,}/).slice(1))).toEqual([
      ['ACTOR', 'ACTION', 'SUBJECT', 'DETAIL'],
      ['ada', 'revoke', 'ws1', 'stolen'],
      ['bob', 'accept clock: refused 12 times', '3f9c2ab1d0', 'stolen'],
    ]);
    expect(JSON.parse((await floe('log', '--json')).stdout)).toEqual([entry, refused]);
  });

  test('asks about one host or commit, and says when there is nothing', async () => {
    const floe = await serving({
      'GET /api/audit?limit=5&subject=ws1': { json: [] },
      'GET /api/audit?limit=20&subject=3f9c2ab': { json: [refused] },
      'GET /api/audit?limit=20&subject=a%26b': { json: [] },
    });
    expect(await floe('log', '--limit', '5', '--subject', 'ws1')).toEqual({ code: 0, stdout: '', stderr: 'floe: the log has nothing about ws1\n' });
    expect((await floe('log', '--subject', '3F9C2AB')).stdout).toContain('bob');
    expect((await floe('log', '--subject', 'a&b')).code).toBe(0);
    expect((await floe('log', '--limit', '0')).code).toBe(2);
    expect((await floe('log', '--subject', '')).code).toBe(2);
  });
});

describe('floe log --verify', () => {
  const good = { entries: 3, heads: 1, head: { id: 7, at: NOW, hash: 'a'.repeat(64) }, broken: null, unsigned: [] };
  test('says that the log holds, or which entry does not fit, with the exit status', async () => {
    const floe = await serving({ 'GET /api/audit/verification': { json: good } });
    expect(await floe('log', '--verify')).toMatchObject({ code: 0, stdout: expect.stringContaining(`its end is ${'a'.repeat(64)}`) as string });
    await server?.[Symbol.asyncDispose]();
    const broken = { ...good, broken: { id: 5, at: NOW, description: 'it was changed' } };
    const other = await serving({ 'GET /api/audit/verification': { json: broken } });
    expect(await other('log', '--verify')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/does not hold: the entry 5 .*it was changed/) as string,
    });
    expect(JSON.parse((await other('log', '--verify', '--json')).stdout)).toEqual(broken);
  });
});
