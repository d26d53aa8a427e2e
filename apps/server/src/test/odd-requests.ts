import { Agent, request as send, type OutgoingHttpHeaders } from 'node:http';
import fc from 'fast-check';

// Requests that are HTTP, and odd in everything else, from a stranger and from an administrator.

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
    '/api/export',
    '/api/session',
    '/api/repository/accept',
    '/api/cache/gc',
    '/api/notifications',
    '/api/probes',
    '/api/releases',
    '/api/releases/x',
    '/api/rollout',
    '/api/rollout/plan?commit=x',
    '/api/rollout/hosts?ring=a/b',
    '/api/rollout/pause',
    '/api/rollout/approve',
    '/api/rollout/resume?since=x',
    '/healthz',
    '/readyz',
    '/webhooks/github',
    '/webhooks/gitlab',
    '/webhooks/forgejo',
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
    .tuple(
      Name,
      fc.constantFrom(
        '',
        '/',
        '/reports',
        '/reports?limit=5',
        '/why',
        '/pin',
        '/hold',
        '/deploy',
        '/enrolment-tokens',
        '/quarantine',
        '/override',
        '/nothing',
      ),
    )
    .map(([name, rest]) => `/api/hosts/${name}${rest}`),
  fc.tuple(Name, Digits, Digits).map(([name, series, seq]) => `/api/hosts/${name}/reports/${series}/${seq}/log`),
  Name.map((name) => `/api/notifications/${name}/test`),
  Name.map((name) => `/api/probes/${name}/test`),
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

const Method = fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE', 'PUT', 'PATCH', 'OPTIONS');
const Who = fc.constantFrom('administrator', 'stranger', 'guess');

export interface OddRequest {
  readonly method: string;
  readonly path: string;
  readonly who: 'administrator' | 'stranger' | 'guess';
  readonly headers: OutgoingHttpHeaders;
  readonly body: string | undefined;
  /** The address of this machine that it comes from. */
  readonly from: string;
}

export const oddRequest: fc.Arbitrary<OddRequest> = fc.record({
  method: Method,
  path: Path,
  who: Who,
  headers: Headers,
  body: Body,
  from: fc.nat(250).map((n) => `127.0.3.${n + 1}`),
});

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** A connection for each: one whose body was not wanted is reset behind its answer. */
export async function askOddly(port: number, token: string, odd: OddRequest): Promise<Answer> {
  const { method, path, who, from } = odd;
  const authorization = who === 'administrator' ? { authorization: `Bearer ${token}` } : who === 'guess' ? { authorization: 'Bearer x' } : {};
  const headers = { ...odd.headers, ...authorization };
  const body = method === 'GET' || method === 'HEAD' ? undefined : odd.body;
  const agent = new Agent({ keepAlive: false });
  return await new Promise((resolve, reject) => {
    const request = send({ host: '127.0.0.1', localAddress: from, port, agent, method, path, headers }, (response) => {
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

/** What is wrong with an answer; undefined: nothing. */
export function faultOf({ who, path, method }: OddRequest, { status, body }: Answer): string | undefined {
  if (status < 200 || status >= 500) return `${status} ${body.slice(0, 200)}`;
  if (/PRIVATE KEY|root:|"private": true/.test(body)) return `a secret: ${body.slice(0, 200)}`;
  const isLetIn = who !== 'administrator' && path.startsWith('/api/') && method !== 'OPTIONS' && status < 400;
  return isLetIn ? `accepted with ${status}` : undefined;
}
