import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newApiToken } from './admin-token.ts';
import { startTestServer, type TestServer } from './test/test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    env: { FLOE_WEBHOOK_SECRET_FILE: '/anything', FLOE_PUBLIC_URL: 'https://floe.example', FLOE_TRUSTED_PROXIES: '127.0.0.1' },
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

async function signIn(token = server.token, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify({ token });
  return await fetch(`${server.url}/api/session`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });
}
const cookieOf = (response: Response): string => response.headers.getSetCookie()[0]?.split(';')[0] ?? '';
async function withCookie(cookie: string, path = '/api/fleet', init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('cookie', cookie);
  return await fetch(`${server.url}${path}`, { ...init, headers });
}

describe('the page signs in', () => {
  test('for a cookie that is not the token, that scripts cannot read, and that other sites cannot send', async () => {
    const answer = await signIn();
    const [cookie = ''] = answer.headers.getSetCookie();
    expect([answer.status, cookie]).toEqual([
      204,
      expect.stringMatching(/^floe_session=[\w-]{43}; Max-Age=\d+; Path=\/; HttpOnly; Secure; SameSite=Strict$/),
    ]);
    expect(cookie).not.toContain(server.token);
    expect((await withCookie(cookieOf(answer))).status).toBe(200);
    // Neither is the other.
    expect((await withCookie(`floe_session=${server.token}`)).status).toBe(401);
    const asToken = await fetch(`${server.url}/api/fleet`, { headers: { authorization: `Bearer ${cookieOf(answer).split('=')[1]}` } });
    expect(asToken.status).toBe(401);
  });

  test('and out: the cookie is worth nothing any more, wherever it was copied to', async () => {
    const cookie = cookieOf(await signIn());
    expect((await withCookie(cookie, '/api/session', { method: 'DELETE' })).status).toBe(204);
    expect((await withCookie(cookie)).status).toBe(401);
  });

  test('until its token is revoked', async () => {
    const token = newApiToken();
    await server.context.store.tokens.createApiToken({ name: 'borrowed', role: 'viewer', token, at: 1 });
    const cookie = cookieOf(await signIn(token));
    expect((await withCookie(cookie)).status).toBe(200);
    await server.context.store.tokens.revokeApiToken({ name: 'borrowed', by: 'admin', now: 1 });
    expect((await withCookie(cookie)).status).toBe(401);
  });

  test('only so often from one address, and that says nothing about others', async () => {
    const from = (address: string) => ({ 'x-forwarded-for': `9.9.9.9, ${address}` });
    const guesses = await Promise.all(Array.from({ length: 30 }, async () => (await signIn('guess', from('192.0.2.1'))).status));
    expect(guesses.filter((status) => status === 401).length).toBeLessThanOrEqual(12);
    const refused = await signIn(server.token, from('192.0.2.1'));
    expect([refused.status, await refused.text()]).toEqual([429, expect.stringContaining('SIGN_INS_TOO_MANY')]);
    expect((await signIn(server.token, from('192.0.2.2'))).status).toBe(204);
  });
});

test('guesses of enrolment tokens are few from one address', async () => {
  const from = (address: string) => ({ 'content-type': 'application/json', 'x-forwarded-for': address });
  async function enrol(address: string): Promise<number> {
    const body = JSON.stringify({
      token: 'a-guess-of-a-token',
      host: 'ada',
      machineId: 'a'.repeat(32),
      publicKey: `${'b'.repeat(43)}=`,
      system: 'x86_64-linux',
    });
    return (await fetch(`${server.url}/api/enrol`, { method: 'POST', headers: from(address), body })).status;
  }
  const statuses: number[] = [];
  for (let round = 0; round < 40; round += 1) statuses.push(await enrol('192.0.2.7'));
  expect(statuses.filter((status) => status === 403).length).toBeLessThan(30);
  expect(statuses.at(-1)).toBe(429);
  expect(await enrol('192.0.2.8')).toBe(403);
});

describe('what another site makes a browser send', () => {
  const change = (cookie: string, headers: Record<string, string>) =>
    withCookie(cookie, '/api/hosts/nobody/quarantine', {
      method: 'DELETE',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{"reason":"because"}',
    });

  test.each([
    ['another origin', { origin: 'https://evil.example' }],
    ['a part of the origin', { origin: 'https://floe.example.evil.example' }],
    ['another port', { origin: 'https://floe.example:8443' }],
    ['no origin', {}],
    ['a null origin', { origin: 'null' }],
    ['another site, by the browser’s word', { 'sec-fetch-site': 'cross-site', origin: 'https://floe.example' }],
    ['another site of the same domain', { 'sec-fetch-site': 'same-site' }],
  ])('changes nothing: %s', async (_name, headers: Record<string, string>) => {
    const cookie = cookieOf(await signIn(server.token, { 'x-forwarded-for': `198.51.100.${_name.length}` }));
    const answer = await change(cookie, headers);
    expect([answer.status, await answer.text()]).toEqual([403, expect.stringContaining('FOREIGN_ORIGIN')]);
  });

  test('though the page itself may', async () => {
    const cookie = cookieOf(await signIn(server.token, { 'x-forwarded-for': '203.0.113.1' }));
    for (const headers of [{ origin: 'https://floe.example' }, { origin: server.url }, { 'sec-fetch-site': 'same-origin' }])
      expect((await change(cookie, headers)).status).toBe(404);
  });

  test('does not sign it in as somebody else', async () => {
    expect((await signIn(server.token, { origin: 'https://evil.example', 'x-forwarded-for': '203.0.113.2' })).status).toBe(403);
  });
});

test('event streams are bounded for each token, and end when they are closed', async () => {
  const open = async () => await server.request('/api/events');
  const streams = await Promise.all(Array.from({ length: 20 }, open));
  expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200]));
  const refused = await open();
  expect([refused.status, await refused.text()]).toEqual([429, expect.stringContaining('20 event streams')]);
  for (const { body } of streams) await body?.cancel();
  await expect
    .poll(
      async () => {
        const again = await open();
        await again.body?.cancel();
        return again.status;
      },
      { timeout: 20_000 },
    )
    .toBe(200);
});

describe('a webhook', () => {
  const headers = (more: string): string => `POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 26000000\r\n${more}\r\n`;
  async function answerTo(head: string): Promise<string> {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(head);
    const [answer] = await new Promise<[Buffer]>((resolve) => socket.once('data', (chunk) => resolve([chunk])));
    socket.destroy();
    return answer.toString();
  }

  test.each([
    ['a signature', 'X-GitHub-Event: push\r\nX-GitHub-Delivery: 1\r\n', 'SIGNATURE_MISSING'],
    ['an event', `X-Hub-Signature-256: sha256=${'0'.repeat(64)}\r\n`, 'EVENT_MISSING'],
    ['a delivery id', `X-Hub-Signature-256: sha256=${'0'.repeat(64)}\r\nX-GitHub-Event: push\r\n`, 'DELIVERY_ID_MISSING'],
  ])('without %s is refused before its body is sent', async (_name, more, code) => {
    expect(await answerTo(headers(more))).toContain(code);
  });

  test('whose announced body is too large is refused before it is sent', async () => {
    const right = `X-Hub-Signature-256: sha256=${'0'.repeat(64)}\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: 1\r\n`;
    expect(await answerTo(headers(right).replace('26000000', '26214401'))).toContain('BODY_TOO_LARGE');
  });
});
