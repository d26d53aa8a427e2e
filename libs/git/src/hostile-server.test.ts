import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { isFloeError, Secret, silentLogger } from '@floe/runtime';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { GIT_ERROR_CODES } from './errors.ts';
import { encodePacket } from './pkt-line.ts';
import { mirrorHere } from './test/mirror-here.ts';

// Whatever answers in place of a git server: the error is one clear sentence, and nothing is left on the disk.
vi.setConfig({ testTimeout: 60_000 });

interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

const HEAD = 'a'.repeat(40);
const LISTING = 'application/x-git-upload-pack-advertisement';
const RESULT = 'application/x-git-upload-pack-result';
const refs = `${encodePacket('# service=git-upload-pack\n')}0000${encodePacket(`${HEAD} refs/heads/main\0side-band-64k ofs-delta\n`)}0000`;

let folder: string;
let server: Server;
let url: string;
let answer: (req: IncomingMessage) => Answer = () => ({});
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floe-hostile-'));
  server = createServer((req: IncomingMessage, res: ServerResponse) => {
    const { status = 200, headers = {}, body = '' } = answer(req);
    res.writeHead(status, headers).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  url = `http://127.0.0.1:${address.port}/fleet.git`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

interface Failure {
  readonly code: string;
  readonly retryable: boolean;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

async function failure(answers: (req: IncomingMessage) => Answer, token?: string): Promise<Failure> {
  answer = answers;
  count += 1;
  const dir = join(folder, `mirror-${count}`);
  const mirror = mirrorHere({ dir, url, branch: 'main', logger: silentLogger, ...(token !== undefined && { token: new Secret(token) }) });
  const error: unknown = await mirror.fetch(undefined).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isFloeError(error)) throw new Error('no failure of ours', { cause: error });
  expect(GIT_ERROR_CODES).toContain(error.code);
  expect(error.message.length).toBeLessThan(1_000);
  expect(error.message).not.toMatch(/[\p{Cc}\u202A-\u202E\u2066-\u2069]/u);
  expect(error.message).toContain(url.slice(0, -'/fleet.git'.length));
  const left = await readdir(dir, { recursive: true });
  expect(left.filter((name) => /\.(?:pack|idx)$|floe-tmp\/./.test(name))).toEqual([]);
  await rm(dir, { recursive: true });
  return error;
}

/** The list of refs is correct, and `body` replaces the pack. */
function inPlaceOfThePack(body: Buffer | string): (req: IncomingMessage) => Answer {
  return (req) => (req.method === 'GET' ? { headers: { 'content-type': LISTING }, body: refs } : { headers: { 'content-type': RESULT }, body });
}

it.each<[string, (req: IncomingMessage) => Answer, Partial<Failure> & { readonly says: RegExp }]>([
  [
    'an ERR line in place of refs',
    () => ({ headers: { 'content-type': LISTING }, body: encodePacket('ERR access denied or repository not exported\n') }),
    { code: 'REPOSITORY_REFUSED', retryable: true, says: /it says: access denied or repository not exported;/ },
  ],
  [
    'an ERR line in place of a pack',
    inPlaceOfThePack(encodePacket(`ERR upload-pack: not our ref ${HEAD}`)),
    { code: 'REPOSITORY_REFUSED', retryable: true, says: /not our ref a{40}/ },
  ],
  [
    'a message on the third band',
    inPlaceOfThePack(`${encodePacket('NAK\n')}${encodePacket('\x01PACK')}${encodePacket('\x03repository disabled:\nask \x1b[31mbilling\n')}`),
    { code: 'REPOSITORY_REFUSED', retryable: true, says: /it says: repository disabled: ask .{1,2}\[31mbilling;/ },
  ],
  [
    'a very long message',
    inPlaceOfThePack(encodePacket(`\x03${'no '.repeat(20_000)}`)),
    { code: 'REPOSITORY_REFUSED', retryable: true, says: /no no no/ },
  ],
  [
    '429 with a number of seconds',
    () => ({ status: 429, headers: { 'retry-after': '90', 'content-type': 'text/plain' }, body: 'slow\ndown' }),
    { code: 'REPOSITORY_BUSY', retryable: true, says: /asks again in 90 s; it says: slow down/, data: { retryAfterMs: 90_000 } },
  ],
  [
    '503 with a date',
    () => ({ status: 503, headers: { date: 'Sat, 28 Nov 2026 10:00:00 GMT', 'retry-after': 'Sat, 28 Nov 2026 10:02:00 GMT' } }),
    { code: 'REPOSITORY_BUSY', retryable: true, says: /in 120 s/, data: { retryAfterMs: 120_000 } },
  ],
  [
    '429 for ten years',
    () => ({ status: 429, headers: { 'retry-after': '300000000' } }),
    { code: 'REPOSITORY_BUSY', says: /in 3600 s/, data: { retryAfterMs: 3_600_000 } },
  ],
  ['429 without a time', () => ({ status: 429, headers: { 'retry-after': 'soon' } }), { code: 'REPOSITORY_BUSY', says: /asks again later/ }],
  ['403 for the rate', () => ({ status: 403, headers: { 'x-ratelimit-remaining': '0' } }), { code: 'REPOSITORY_BUSY', retryable: true, says: /403/ }],
  [
    '403 in words',
    () => ({ status: 403, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: 'Your account is suspended.\n' }),
    { code: 'REPOSITORY_UNAUTHORIZED', retryable: false, says: /requires a token.*it says: Your account is suspended\.$/ },
  ],
  ['404', () => ({ status: 404 }), { code: 'REPOSITORY_NOT_FOUND', retryable: false, says: /no repository at/ }],
  ['502', () => ({ status: 502 }), { code: 'REPOSITORY_UNREACHABLE', retryable: true, says: /HTTP status 502/ }],
  ['407', () => ({ status: 407 }), { code: 'REPOSITORY_UNREACHABLE', retryable: true, says: /proxy/ }],
  [
    'a page of a captive portal',
    () => ({ headers: { 'content-type': 'text/html' }, body: '<title>Welcome</title>' }),
    { code: 'REPOSITORY_NOT_FOUND', retryable: false, says: /a web page, not.*FLOE_REPOSITORY_TOKEN_FILE.*network's log-in page/ },
  ],
  [
    'a sign-in page, behind a redirect',
    (req) =>
      req.url === '/users/sign_in'
        ? { headers: { 'content-type': 'text/html; charset=utf-8' }, body: '<form>' }
        : { status: 302, headers: { location: '/users/sign_in' } },
    { code: 'REPOSITORY_NOT_FOUND', says: /a web page from \/users\/sign_in/ },
  ],
  [
    'a redirect to a single sign-on elsewhere',
    () => ({ status: 302, headers: { location: 'https://sso.example.org/login?next=x' } }),
    { code: 'REPOSITORY_MOVED', retryable: false, says: /https:\/\/sso\.example\.org\/login: if that is correct/ },
  ],
  [
    'invalid compression',
    () => ({ headers: { 'content-type': LISTING, 'content-encoding': 'gzip' }, body: refs }),
    { code: 'REPOSITORY_UNREACHABLE', retryable: true, says: /could not be reached|incomplete/ },
  ],
  [
    'undeclared compression',
    () => ({ headers: { 'content-type': LISTING }, body: gzipSync(refs) }),
    { code: 'REPOSITORY_NOT_FOUND', says: /not as a git repository/ },
  ],
  [
    'a page in place of a pack',
    inPlaceOfThePack('<html>gateway</html>'),
    { code: 'REPOSITORY_UNREACHABLE', retryable: true, says: /damaged answer/ },
  ],
  ['an empty answer in place of a pack', inPlaceOfThePack(''), { code: 'REPOSITORY_UNREACHABLE', retryable: true, says: /incomplete/ }],
])('reports what a server sent: %s', async (_what, answers, { says, data, ...expected }) => {
  const said = await failure(answers);
  expect(said).toMatchObject({ ...expected, ...(data && { data }) });
  expect(said.message).toMatch(says);
});

it.each<[string, (secret: string) => (req: IncomingMessage) => Answer]>([
  ['a body', (secret) => () => ({ status: 401, headers: { 'content-type': 'text/plain' }, body: `bad token ${secret}` })],
  ['an ERR line', (secret) => inPlaceOfThePack(encodePacket(`ERR bad token ${secret}`))],
])('does not show a token that a server repeats in %s', async (_what, refuse) => {
  for (const secret of ['hunter2-token', Buffer.from('x-access-token:hunter2-token').toString('base64')]) {
    expect((await failure(refuse(secret), 'hunter2-token')).message).toContain('bad token [redacted]');
  }
});

it('reads compressed answers', async () => {
  const zipped = (type: string, body: Buffer | string): Answer => ({
    headers: { 'content-type': type, 'content-encoding': 'gzip' },
    body: gzipSync(body),
  });
  const said = await failure((req) => (req.method === 'GET' ? zipped(LISTING, refs) : zipped(RESULT, encodePacket('ERR as asked'))));
  expect(said).toMatchObject({ code: 'REPOSITORY_REFUSED', message: expect.stringContaining('as asked') as string });
});

const bytes = fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each));
const line = fc
  .oneof(
    fc.constantFrom(
      'NAK\n',
      `ACK ${HEAD}\n`,
      `shallow ${HEAD}\n`,
      'unshallow x',
      'ERR no',
      '\x01PACK',
      '\x02hello\n',
      '\x03gone',
      `${HEAD} refs/heads/main`,
      '',
    ),
    fc.string({ unit: 'binary', maxLength: 100 }),
  )
  .map(encodePacket);
const body = fc.oneof(
  bytes,
  fc.array(fc.oneof(line, fc.constantFrom('0000', '0001', '0002', '0003', 'ffff')), { maxLength: 8 }).map((lines) => lines.join('')),
  fc.constantFrom(refs, '<html>', ''),
);
const answers = fc.record({
  status: fc.oneof(
    { weight: 3, arbitrary: fc.constant(200) },
    fc.constantFrom(204, 206, 302, 304, 400, 401, 403, 404, 407, 410, 418, 429, 500, 502, 503),
  ),
  headers: fc.record(
    {
      'content-type': fc.constantFrom(LISTING, RESULT, 'text/html', 'text/plain', 'application/json', 'x'),
      'retry-after': fc.constantFrom('0', '5', '-1', '1e9', 'Sat, 28 Nov 2026 10:02:00 GMT', ''),
      'content-encoding': fc.constantFrom('gzip', 'deflate', 'br', 'identity', 'x'),
      location: fc.constantFrom('/', '//x', 'http://[', 'ftp://x/', '?', '/fleet.git/info/refs'),
      'www-authenticate': fc.constantFrom('Basic', 'Negotiate'),
    },
    { requiredKeys: [] },
  ),
  body,
});

it('ends in a GitError, whatever a server sends', async () => {
  await fc.assert(
    fc.asyncProperty(answers, fc.boolean(), fc.boolean(), async (given, isLate, hasToken) => {
      const typed = (type: string): Answer => ({ ...given, headers: { 'content-type': type, ...given.headers } });
      const late = (req: IncomingMessage): Answer => (req.method === 'GET' ? { headers: { 'content-type': LISTING }, body: refs } : typed(RESULT));
      const said = await failure(isLate ? late : () => typed(LISTING), hasToken ? 'hunter2-token' : undefined);
      expect(said.message).not.toContain('hunter2');
      // Errors of the server are retryable; those that an administrator must fix are not.
      if (given.status >= 500) expect(said.retryable).toBe(true);
    }),
  );
});
