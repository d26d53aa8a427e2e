import { Agent, request as send, type OutgoingHttpHeaders } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, TOPLEVEL, type TestServer } from './test/test-server.ts';

// Requests that are HTTP, and odd in everything else, from a stranger and from an administrator. Bytes that are no HTTP
// at all are the sockets' tests. Whatever is asked, the answer is the server's own word on it, soon, and never "I failed".

let server: TestServer;
/** A connection for each: one whose body was not wanted is reset behind its answer. */
const agent = new Agent({ keepAlive: false });
beforeAll(async () => {
  server = await startTestServer();
  await server.enrol('ada', TOPLEVEL);
});
afterAll(async () => {
  agent.destroy();
  await server[Symbol.asyncDispose]();
});

const Name = fc.oneof(
  fc.constantFrom(
    'ada',
    'ADA',
    '__proto__',
    'constructor',
    'toString',
    '%00',
    '%ff',
    '%',
    '%2e%2e',
    '..%2f..',
    '..',
    '%u0041',
    'a%0d%0ax:y',
    '%F0%9F%A7%8A',
  ),
  fc.integer({ min: 60, max: 4_000 }).map((length) => 'a'.repeat(length)),
);
const Digits = fc.constantFrom('0', '1', '-1', '1e3', '999999999999999', '9999999999999999', '0x1', '%31', '');
const Path = fc.oneof(
  fc.constantFrom(
    '/',
    '/api',
    '/api/',
    '/api/fleet',
    '/api//fleet',
    '/api/hosts',
    '/api/enrol',
    '/api/session',
    '/api/repository/accept',
    '/healthz',
    '/readyz',
    '/webhooks/github',
    '/webhooks/',
  ),
  fc.constantFrom(
    '/cache/nix-cache-info',
    '/cache/../keys/release.pem',
    '/cache/..%2fkeys%2frelease.pem',
    '/cache/nar/..%2f..%2fadmin-token',
    '/cache/%00',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/assets/..%2f..%2fpackage.json',
    '//etc/passwd',
    '/..%5c..%5cetc',
  ),
  fc
    .tuple(Name, fc.constantFrom('', '/', '/reports', '/reports?limit=5', '/enrolment-tokens', '/quarantine', '/override', '/nothing'))
    .map(([name, rest]) => `/api/hosts/${name}${rest}`),
  fc.tuple(Name, Digits, Digits).map(([name, series, seq]) => `/api/hosts/${name}/reports/${series}/${seq}/log`),
  Digits.map((digits) => `/api/revisions?limit=${digits}`),
  fc.tuple(Name, Name).map(([sha, value]) => `/api/revisions/${sha}?limit[]=${value}&__proto__=1`),
);
const Body = fc.oneof(
  fc.constantFrom(
    undefined,
    '',
    'null',
    '[]',
    '{}',
    '{',
    '"x"',
    '{"reason":"x"}',
    String.raw`{"reason":"\u0000\ud800"}`,
    '{"reason":1}',
    '{"__proto__":{"reason":"x"}}',
    '{"token":"","host":[]}',
  ),
  fc.constantFrom(
    '['.repeat(30_000),
    `{"reason":"${'x'.repeat(70_000)}"}`,
    `{"token":"${'t'.repeat(32)}","host":"constructor","machineId":"${'a'.repeat(32)}","publicKey":"${'A'.repeat(43)}=","system":"x"}`,
  ),
  fc.json(),
);
const Headers: fc.Arbitrary<OutgoingHttpHeaders> = fc.record(
  {
    'content-type': fc.constantFrom(
      'application/json',
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/json; charset=utf-7',
      ';',
    ),
    cookie: fc.constantFrom(
      'floe_session=%',
      'floe_session=x; floe_session=y',
      '__proto__=1; floe_session=z',
      `floe_session=${'a'.repeat(4_000)}`,
      '=;;=',
    ),
    range: fc.constantFrom('bytes=-1', 'bytes=5-2', 'bytes=0-999999999999999', 'bytes=99999999999999999999-', 'bytes=0-0,1-1', 'x'),
    origin: fc.constantFrom('null', 'http://', 'javascript:1', 'http://evil.example'),
    'x-hub-signature-256': fc.constantFrom('', 'sha256=', `sha256=${'0'.repeat(64)}`, `sha256=${'g'.repeat(64)}`),
    'x-github-event': fc.constantFrom('push', 'ping', '__proto__', 'x'.repeat(1_000)),
    'x-github-delivery': fc.constantFrom('1', '', '../..', 'x'.repeat(1_000)),
    'accept-encoding': fc.constantFrom('*;q=0', 'gzip, br;q=9'),
    'x-forwarded-for': fc.constantFrom('x', ',,,', '::1, 1.2.3.4', 'a'.repeat(2_000)),
  },
  { requiredKeys: [] },
);

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function ask(method: string, path: string, headers: OutgoingHttpHeaders, body: string | undefined): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const request = send({ host: '127.0.0.1', port: server.port, agent, method, path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }));
      response.on('error', reject);
    });
    // What nobody wants to read is not read: the answer may be lost in the reset then, as HTTP has it (RFC 9112, 9.6).
    request.on('error', (error) => (body !== undefined && body.length > 16_384 ? resolve({ status: 413, body: '' }) : reject(error)));
    request.end(body);
  });
}

test('whatever is asked is answered, never with a failure of the server, and never with what is secret', async () => {
  const Method = fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE', 'PUT', 'PATCH', 'OPTIONS');
  const Who = fc.constantFrom('administrator', 'stranger', 'guess');
  await fc.assert(
    fc.asyncProperty(Method, Path, Who, Headers, Body, async (method, path, who, odd, body) => {
      const authorization =
        who === 'administrator' ? { authorization: `Bearer ${server.token}` } : who === 'guess' ? { authorization: 'Bearer x' } : {};
      const { status, body: text } = await ask(method, path, { ...odd, ...authorization }, method === 'GET' || method === 'HEAD' ? undefined : body);
      expect(status).toBeGreaterThanOrEqual(200);
      expect(status).toBeLessThan(500);
      expect(text).not.toMatch(/PRIVATE KEY|root:|"private": true/);
      if (who !== 'administrator' && path.startsWith('/api/') && method !== 'OPTIONS') expect(status).toBeGreaterThanOrEqual(400);
    }),
    { numRuns: Math.max(400, fc.readConfigureGlobal().numRuns ?? 0) },
  );
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  expect(server.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
