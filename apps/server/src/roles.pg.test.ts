import { ROLES, type Role } from '@floe/model';
import { ActorView, AuditEntryViews, NewTokenResponse, TokenViews } from '@floe/protocol';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MovedClock } from './test/moved-clock.ts';
import { startTestServer, type TestServer } from './test/test-server.ts';

const DAY_MS = 24 * 3600_000;
const clock = new MovedClock();
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ clock });
});
afterAll(async () => await server[Symbol.asyncDispose]());

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function ask(token: string, method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...(token === '' ? {} : { authorization: `Bearer ${token}` }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}
const refusal = (code: string) => ({ error: { code, message: expect.any(String) as string } });

async function make(name: string, role: Role, more: object = {}): Promise<string> {
  const { status, body } = await ask(server.token, 'POST', '/api/tokens', { name, role, ...more });
  expect(status).toBe(201);
  return v.parse(NewTokenResponse, body).token;
}
async function signIn(token: string): Promise<string> {
  const response = await fetch(`${server.url}/api/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
  });
  expect(response.status).toBe(204);
  return response.headers.getSetCookie()[0]?.split(';')[0] ?? '';
}
const whoIs = async (cookie: string) => await ask('', 'GET', '/api/session', undefined, { cookie });
const log = async (query = '') => v.parse(AuditEntryViews, (await ask(server.token, 'GET', `/api/audit${query}`)).body);

describe('a token', () => {
  test('says who made it, its role, and when it was used; its secret is shown once', async () => {
    const token = await make('ci', 'operator', { expiresInMs: 30 * DAY_MS });
    expect(v.parse(ActorView, (await ask(token, 'GET', '/api/session')).body)).toEqual({ name: 'ci', role: 'operator', person: 'ci', kind: 'token' });
    await expect
      .poll(
        async () => {
          const { body } = await ask(server.token, 'GET', '/api/tokens');
          expect(JSON.stringify(body)).not.toContain(token);
          return v.parse(TokenViews, body).find(({ name }) => name === 'ci')?.lastUsedAt;
        },
        { timeout: 20_000 },
      )
      .toEqual(expect.any(Number));
    const { body } = await ask(server.token, 'GET', '/api/tokens');
    expect(v.parse(TokenViews, body)).toMatchObject([
      { name: 'admin', role: 'administrator', createdBy: null, expiresAt: null },
      { name: 'ci', role: 'operator', createdBy: 'admin', expiresAt: expect.any(Number) as number },
    ]);
    expect(await log('?subject=ci')).toMatchObject([
      { actor: 'admin', action: 'create-token', detail: expect.stringMatching(/^operator, until 2/) as string },
    ]);
    expect(JSON.stringify(await log())).not.toContain(token);
  });

  test.each([
    ['an unknown role', { name: 'eve', role: 'root' }, 400, 'REQUEST_INVALID', /viewer, operator, approver, administrator/],
    ['no role', { name: 'eve' }, 400, 'REQUEST_INVALID', /role/],
    ['a name twice', { name: 'admin', role: 'viewer' }, 409, 'TOKEN_NAME_TAKEN', /floe token revoke admin/],
    ['the server’s name', { name: 'floe', role: 'viewer' }, 400, 'REQUEST_INVALID', /choose another/],
    ['a name of two words', { name: 'Ada Lovelace', role: 'viewer' }, 400, 'REQUEST_INVALID', /lower-case/],
    ['a path as its name', { name: '../admin', role: 'viewer' }, 400, 'REQUEST_INVALID', /lower-case/],
    ['an end in the past', { name: 'eve', role: 'viewer', expiresInMs: -DAY_MS }, 400, 'REQUEST_INVALID', /at least a minute/],
    ['an end now', { name: 'eve', role: 'viewer', expiresInMs: 0 }, 400, 'REQUEST_INVALID', /at least a minute/],
    ['an end in a century', { name: 'eve', role: 'viewer', expiresInMs: 100 * 365 * DAY_MS }, 400, 'REQUEST_INVALID', /ten years/],
  ])('with %s is not made, and the answer says why', async (_what, body, status, code, message) => {
    const answer = await ask(server.token, 'POST', '/api/tokens', body);
    expect(answer).toMatchObject({ status, body: { error: { code, message: expect.stringMatching(message) as string } } });
    expect(await log('?subject=eve')).toEqual([]);
  });

  test('of the last administrator without an end is not revoked, and one of another is, with the reason', async () => {
    const revoke = async (name: string, by = server.token) => await ask(by, 'DELETE', `/api/tokens/${name}`, { reason: 'left the company' });
    expect(await revoke('admin')).toEqual({ status: 409, body: refusal('LAST_ADMINISTRATOR') });
    const guest = await make('guest', 'administrator', { expiresInMs: DAY_MS });
    expect(await revoke('admin', guest)).toEqual({ status: 409, body: refusal('LAST_ADMINISTRATOR') });
    expect(await revoke('guest')).toMatchObject({ status: 204 });
    expect(await ask(guest, 'GET', '/api/fleet')).toEqual({ status: 401, body: refusal('UNAUTHENTICATED') });
    expect(await revoke('guest')).toEqual({ status: 404, body: refusal('TOKEN_UNKNOWN') });
    expect(await ask(server.token, 'DELETE', '/api/tokens/ci', {})).toEqual({ status: 400, body: refusal('REQUEST_INVALID') });
    expect(await log('?subject=guest&limit=1')).toMatchObject([{ action: 'revoke-token', detail: 'left the company' }]);
  });

  test('of two administrators who revoke each other at once, one stays', async () => {
    for (let round = 0; round < 3; round += 1) {
      const [one, two] = [await make('one', 'administrator'), await make('two', 'administrator')];
      const reason = { reason: 'I was first' };
      const answers = await Promise.all([ask(one, 'DELETE', '/api/tokens/two', reason), ask(two, 'DELETE', '/api/tokens/one', reason)]);
      const [won, lost] = answers.map(({ status }) => status).toSorted((a, b) => a - b);
      // The other one is refused in the transaction, or was not known any more before.
      expect([won, lost === 401 || lost === 403]).toEqual([204, true]);
      const alive = [one, two].map(async (token) => (await ask(token, 'GET', '/api/session')).status === 200);
      const [isOneLeft, isTwoLeft] = await Promise.all(alive);
      expect(isOneLeft).not.toBe(isTwoLeft);
      expect(await ask(server.token, 'DELETE', `/api/tokens/${isOneLeft === true ? 'one' : 'two'}`, reason)).toMatchObject({ status: 204 });
    }
  });
});

describe('a session of the page', () => {
  test.each(ROLES.filter((role) => role !== 'submitter'))('of a token of the role %s has its role', async (role) => {
    const cookie = await signIn(await make(`page-${role}`, role));
    expect(await whoIs(cookie)).toEqual({ status: 200, body: { name: `page-${role}`, role, person: `page-${role}`, kind: 'session' } });
  });

  test('ends when its token is revoked, and when it expires', async () => {
    const revoked = await signIn(await make('to-revoke', 'viewer'));
    await ask(server.token, 'DELETE', '/api/tokens/to-revoke', { reason: 'why' });
    expect(await whoIs(revoked)).toEqual({ status: 401, body: refusal('UNAUTHENTICATED') });
    const token = await make('to-expire', 'viewer', { expiresInMs: 3600_000 });
    const expiring = await signIn(token);
    expect((await whoIs(expiring)).status).toBe(200);
    clock.offsetMs += 3600_000;
    try {
      expect(await whoIs(expiring)).toEqual({ status: 401, body: refusal('UNAUTHENTICATED') });
      expect(await ask(token, 'GET', '/api/fleet')).toEqual({ status: 401, body: refusal('UNAUTHENTICATED') });
    } finally {
      clock.offsetMs -= 3600_000;
    }
  });
});

describe('a viewer', () => {
  test('who presses every button changes nothing, and is in the log once for each, with a count', async () => {
    await server.enrol('ada');
    const viewer = await make('viewer', 'viewer');
    const sha = 'a'.repeat(40);
    const why = { reason: 'because' };
    const buttons: readonly (readonly [action: string, subject: string, method: string, path: string, body: object])[] = [
      ['retry', 'ada', 'DELETE', '/api/hosts/ada/quarantine', why],
      ['resume', 'ada', 'DELETE', '/api/hosts/ada/override', why],
      ['evaluate', sha, 'POST', `/api/revisions/${sha}/evaluate`, why],
      ['accept', '', 'POST', '/api/repository/accept', { commit: sha, ...why }],
      ['enrol', 'ada', 'POST', '/api/hosts/ada/enrolment-tokens', {}],
      ['revoke', 'ada', 'DELETE', '/api/hosts/ada/enrolment', why],
      ['forget', 'ada', 'DELETE', '/api/hosts/ada', why],
      ['accept-clock', '', 'POST', '/api/server/clock', why],
      ['manage-tokens', '', 'POST', '/api/tokens', { name: 'eve', role: 'administrator' }],
    ];
    for (let round = 0; round < 3; round += 1) {
      const answers = await Promise.all(buttons.map(async ([, , method, path, body]) => await ask(viewer, method, path, body)));
      expect(answers).toEqual(buttons.map(() => ({ status: 403, body: refusal('ROLE_TOO_LOW') })));
    }
    const mine = (await log('?limit=100')).filter(({ actor }) => actor === 'viewer');
    const counted = mine.map(({ action, subject, refused }) => `${action} ${subject} ${refused?.count}`);
    expect(counted.toSorted()).toEqual(buttons.map(([action, subject]) => `${action} ${subject} 3`).toSorted());
    // The viewer sees it, too, and the host is as it was.
    expect((await ask(viewer, 'GET', '/api/audit?subject=ada')).body).toMatchObject(
      expect.arrayContaining([expect.objectContaining({ actor: 'viewer' })]),
    );
    expect((await ask(viewer, 'GET', '/api/hosts/ada')).body).toMatchObject({ isEnrolled: true });
  });

  test('reads the log in pages, and is told of a query that is none', async () => {
    const all = await log();
    const [first, second, third] = all;
    expect(await log('?limit=2')).toEqual([first, second]);
    expect(await log(`?limit=1&before=${second?.id}`)).toEqual([third]);
    for (const query of ['?limit=0', '?limit=1001', '?before=-1', '?before=x', '?subject=', `?subject=${'x'.repeat(300)}`])
      expect(await ask(server.token, 'GET', `/api/audit${query}`), query).toEqual({ status: 400, body: refusal('REQUEST_INVALID') });
  });
});
