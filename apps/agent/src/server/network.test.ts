import { once } from 'node:events';
import { createServer, get, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type LookupFunction, type Socket } from 'node:net';
import type { StorePath } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeStranger } from './other-answer.ts';
import { whoAnswers as whoAnswersOf, type WhoAnswers } from './network.ts';

const INFO = 'StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n';
const { signal } = new AbortController();
const whoAnswers = async (substituters: readonly string[], serverUrl = 'http://127.0.0.1:1'): Promise<WhoAnswers> =>
  await whoAnswersOf({ serverUrl, substituters }, signal);

/** Who is said to answer when the cache's address is answered like this. */
async function whoIs(listener: RequestListener, about?: StorePath): Promise<WhoAnswers> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const substituters = [`http://127.0.0.1:${(server.address() as AddressInfo).port}/cache?priority=10`];
    return await whoAnswersOf({ serverUrl: 'http://127.0.0.1:1', substituters, about }, signal);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function isThere(listener: RequestListener): Promise<boolean> {
  return (await whoIs(listener)).kind === 'cache';
}

test('the network works when a cache answers as caches do', async () => {
  expect(await isThere((request, response) => response.writeHead(request.url === '/cache/nix-cache-info' ? 200 : 404).end(INFO))).toBe(true);
  for (const first of ['Priority: 30\n', 'WantMassQuery: 1\n'])
    expect(await isThere((_request, response) => response.end(`${first}${INFO}`))).toBe(true);
});

test.each<[string, RequestListener]>([
  ['the login page of a hotel', (_request, response) => response.end('<html><title>Welcome to our Wi-Fi</title></html>')],
  [
    'a redirect to it',
    (request, response) => (request.url === '/login' ? response.end(INFO) : response.writeHead(302, { location: '/login' }).end()),
  ],
  ['a proxy that reaches nothing', (_request, response) => response.writeHead(502).end('Bad Gateway')],
  ['a proxy that wants a login', (_request, response) => response.writeHead(407).end(INFO)],
  ['a host without that file, where DNS lies', (_request, response) => response.writeHead(404).end('not found')],
  ['an empty page', (_request, response) => response.end()],
  ['a page without end', (_request, response) => response.write(INFO.repeat(10_000))],
  ['a cut answer', (request) => request.socket.destroy()],
])('%s proves nothing', async (_what, listener) => {
  expect(await isThere(listener)).toBe(false);
});

test('nothing that does not begin as the file of a cache is one, whatever its status', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 200, max: 599 }), fc.oneof(fc.string(), fc.constant(INFO), fc.constant(` ${INFO}`)), async (status, body) => {
      const isIt = await isThere((_request, response) => response.writeHead(status).end(body));
      expect(isIt).toBe(status === 200 && /^(?:StoreDir|WantMassQuery|Priority):/.test(body));
    }),
    { numRuns: 40 },
  );
});

test.each<[string, RequestListener, string]>([
  [
    'a redirect',
    (_request, response) => response.writeHead(302, { location: 'http://login.hotel.example/a?b' }).end(),
    'a captive portal or a proxy answered: a redirect to login.hotel.example (status 302)',
  ],
  ['a page', (_request, response) => response.end('<html>'), 'a captive portal or a proxy answered: a page of its own (status 200)'],
  [
    'a page without end',
    (_request, response) => response.write('<html>'.repeat(10_000)),
    'a captive portal or a proxy answered: a page of its own (status 200)',
  ],
  ['a login', (_request, response) => response.writeHead(511).end(), 'a captive portal or a proxy answered: it asks for a login (status 511)'],
  ['a proxy', (_request, response) => response.writeHead(502).end(), 'a proxy answered, which does not get through (status 502)'],
  ['another host', (_request, response) => response.writeHead(404).end(), 'something answered with status 404'],
])('%s is named, and where', async (_what, listener, who) => {
  expect(await whoIs(listener)).toEqual({ kind: 'other', who, url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/cache$/) as string });
});

describe('where a cache answers, and is asked for one path', () => {
  const about = '/nix/store/00000000000000000000000000000000-nixos-system-ada' as StorePath;
  const NARINFO = `StorePath: ${about}\nURL: nar/0.nar.zst\n`;
  const whoIsFor = async (listener: RequestListener): Promise<WhoAnswers> =>
    await whoIs((request, response) => {
      if (request.url === '/cache/nix-cache-info') response.end(INFO);
      else if (request.url === `/cache/${'0'.repeat(32)}.narinfo`) listener(request, response);
      else response.end(request.url === '/moved' ? NARINFO : '<html>');
    }, about);
  const page = 'a captive portal or a proxy answered: a page of its own (status 200)';

  test.each<[string, RequestListener, string]>([
    ['a page', (_request, response) => response.end('<html><title>Welcome to our Wi-Fi</title></html>'), page],
    ['an empty page', (_request, response) => response.end(), page],
    ['a page without end', (_request, response) => response.write('<p>'.repeat(400_000)), page],
    ['a redirect to a page', (_request, response) => response.writeHead(302, { location: '/login' }).end(), page],
    [
      'a login',
      (_request, response) => response.writeHead(511).end(NARINFO),
      'a captive portal or a proxy answered: it asks for a login (status 511)',
    ],
  ])('%s is not its own', async (_what, listener, who) => {
    expect(await whoIsFor(listener)).toEqual({ kind: 'other', who, url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/cache$/) as string });
  });

  test.each<[string, RequestListener]>([
    ['what it has', (_request, response) => response.end(NARINFO)],
    ['its lines in another order, and a file that is damaged', (_request, response) => response.end(`URL: x\n${NARINFO}NarHash: ???\n`)],
    ['a file that names much', (_request, response) => response.end(`${NARINFO}References: ${'0'.repeat(500_000)}\n`)],
    ['that it lacks it', (_request, response) => response.writeHead(404).end('<html>')],
    ['that it has a fault', (_request, response) => response.writeHead(503).end('<html>')],
    ['where it has it', (_request, response) => response.writeHead(302, { location: '/moved' }).end()],
    ['nothing', (request) => request.socket.destroy()],
  ])('%s is its answer', async (_what, listener) => {
    expect(await whoIsFor(listener)).toEqual({ kind: 'cache' });
  });

  test('whatever the status and the page', async () => {
    const body = fc.oneof(
      fc.string(),
      fc.constantFrom(NARINFO, ` ${NARINFO}`, `<html>${NARINFO}`),
      fc.string().map((text) => `${text}\n${NARINFO}`),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(200, 200, 200, 404, 407, 500, 511), body, async (status, text) => {
        const { kind } = await whoIsFor((_request, response) => response.writeHead(status).end(text));
        const isOther = status === 200 ? !text.split('\n').some((line) => line.startsWith('StorePath: ')) : status === 511;
        expect(kind).toBe(isOther ? 'other' : 'cache');
      }),
      { numRuns: 40 },
    );
  });
});

test('what answers in another way than HTTP or TLS is somebody, too', async () => {
  const answersOf = async (text: Uint8Array | string): Promise<WhoAnswers[]> => {
    const sockets: Socket[] = [];
    const server = createTcpServer((socket) => void sockets.push(socket.on('error', () => undefined).end(text)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      return await Promise.all(['http', 'https'].map(async (scheme) => await whoAnswers([`${scheme}://127.0.0.1:${port}`])));
    } finally {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
  };
  const known = [
    '<html>',
    'SSH-2.0-OpenSSH_9.9\r\n',
    'HTTP/1.1 abc\r\n\r\n',
    `HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n${INFO}`,
    `HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n${INFO}`,
  ];
  for (const text of known) expect((await answersOf(text)).map(({ kind }) => kind)).toEqual(['other', 'other']);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 20, maxLength: 99 }), async (bytes) => {
      // No TLS record, and no beginning of HTTP.
      const answers = await answersOf(Buffer.concat([Buffer.from('<html>'), bytes]));
      for (const answer of answers)
        expect(answer).toMatchObject({ kind: 'other', who: expect.stringContaining('does not speak as it was asked') as string });
    }),
    { numRuns: 20 },
  );
  // Who only hangs up is nobody.
  expect((await answersOf('')).map(({ kind }) => kind)).toEqual(['nobody', 'nobody']);
});

test('where a cache answers, what else answers does not matter', async () => {
  const portal = createServer((_request, response) => response.end('<html>'));
  await new Promise<void>((resolve) => portal.listen(0, '127.0.0.1', resolve));
  const at = `http://127.0.0.1:${(portal.address() as AddressInfo).port}`;
  const cache = createServer((_request, response) => response.end(INFO));
  await new Promise<void>((resolve) => cache.listen(0, '127.0.0.1', resolve));
  try {
    expect(await whoAnswers([at, `http://127.0.0.1:${(cache.address() as AddressInfo).port}`, 'http://127.0.0.1:1'])).toEqual({
      kind: 'cache',
    });
    expect((await whoAnswers(['http://127.0.0.1:1', at])).kind).toBe('other');
  } finally {
    await Promise.all([portal, cache].map(async (each) => (each.closeAllConnections(), await new Promise((resolve) => each.close(resolve)))));
  }
});

test.each<[string, RequestListener, WhoAnswers['kind']]>([
  ['a portal’s redirect', (_request, response) => response.writeHead(302, { location: 'http://login.hotel.example/' }).end(), 'other'],
  ['a portal’s page', (_request, response) => response.end('<html>'), 'other'],
  ['a portal’s demand', (_request, response) => response.writeHead(511).end(), 'other'],
  [
    'the redirect of a server to its own https://',
    (_request, response) => response.writeHead(301, { location: 'https://127.0.0.1/' }).end(),
    'nobody',
  ],
  ['a redirect without a host', (_request, response) => response.writeHead(302, { location: '/login' }).end(), 'nobody'],
  ['a page that is missing', (_request, response) => response.writeHead(404).end(), 'nobody'],
  ['a cut answer', (request) => request.socket.destroy(), 'nobody'],
])('where nobody answers by https://, %s without it is told from silence', async (_what, listener, kind) => {
  const plain = createServer(listener);
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  const { port } = plain.address() as AddressInfo;
  try {
    for (const asked of [
      { serverUrl: 'https://127.0.0.1:1', substituters: [] },
      { serverUrl: 'http://127.0.0.1:1', substituters: ['https://127.0.0.1:1/cache'] },
    ])
      expect((await whoAnswersOf(asked, signal, port)).kind).toBe(kind);
    expect(await whoAnswersOf({ serverUrl: 'http://127.0.0.1:1', substituters: [] }, signal, port)).toEqual({ kind: 'nobody' });
  } finally {
    plain.closeAllConnections();
    await new Promise((resolve) => plain.close(resolve));
  }
});

test('the names of hosts to which one is sent are short and plain, whatever the portal writes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.webUrl(),
        fc.domain().map((host) => `http://${host.repeat(9)}/`),
        fc.constantFrom('/login', 'http://', 'javascript:x', 'http://ex\u0301ample/'),
      ),
      async (location) => {
        const found = await whoIs((_request, response) => response.writeHead(302, { location: encodeURI(location) }).end());
        expect(found).toMatchObject({
          kind: 'other',
          who: expect.stringMatching(/^a captive portal or a proxy answered: a redirect(?: to [!-~]{1,100})? \(status 302\)$/) as string,
        });
      },
    ),
    { numRuns: 40 },
  );
});

test('the certificate of another host is named, and so is a clock that may be wrong', () => {
  const failed = (code: string) => new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code }) });
  expect(describeStranger(failed('ERR_TLS_CERT_ALTNAME_INVALID'))).toBe(
    'another host answered, a captive portal or by a wrong name (ERR_TLS_CERT_ALTNAME_INVALID)',
  );
  expect(describeStranger(failed('SELF_SIGNED_CERT_IN_CHAIN'))).toBe(
    "a captive portal answered, or this machine does not trust the server's authority (SELF_SIGNED_CERT_IN_CHAIN)",
  );
  expect(describeStranger(failed('CERT_NOT_YET_VALID'))).toContain('clock');
  expect(describeStranger(new Error('Proxy response (407) !== 200 when HTTP Tunneling'))).toContain('asks for a login');
  expect(describeStranger(failed('ECONNREFUSED'))).toBeUndefined();
  // As ws says it.
  for (const [code, words] of [
    ['HPE_INVALID_CONSTANT', 'Parse Error: Expected HTTP/, RTSP/ or ICE/'],
    ['EPROTO', 'write EPROTO 40:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number:…'],
  ] as const)
    expect(describeStranger(Object.assign(new Error(words), { code }))).toBe(`something answered that does not speak as it was asked (${code})`);
  expect(describeStranger(Object.assign(new Error('write EPROTO 40:error:…:tlsv1 alert protocol version'), { code: 'EPROTO' }))).toBeUndefined();
});

test('a folder and an address where nobody listens prove nothing', async () => {
  expect(await whoAnswers(['http://127.0.0.1:1', 'file:///cache'])).toEqual({ kind: 'nobody' });
});

test.each([
  [['0.0.0.0'], true],
  [['::'], true],
  [['0.0.0.0', '::'], true],
  [['127.0.0.1'], false],
  [['127.0.0.1', '0.0.0.0'], false],
])('a name server that gives %j for the server is somebody else: %s', async (addresses, isHidden) => {
  const lookup: LookupFunction = (_, options, found) => {
    const all = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (options.all === true) found(null, all);
    else found(null, all[0]?.address ?? '', all[0]?.family);
  };
  // Nobody listens there.
  const request = get({ host: 'floe.example', port: 9, lookup });
  const [error] = (await once(request, 'error')) as [Error];
  const said = describeStranger(new TypeError('fetch failed', { cause: error }));
  if (isHidden) expect(said).toContain('gives an address that no machine has');
  else expect(said).toBeUndefined();
});
