import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isNetworkThere } from './network.ts';

const INFO = 'StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n';
const { signal } = new AbortController();

/** What is said of the network when the cache's address is answered like this. */
async function isThere(listener: RequestListener): Promise<boolean> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await isNetworkThere([`http://127.0.0.1:${(server.address() as AddressInfo).port}/cache?priority=10`], signal);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
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

test('a folder and an address where nobody listens prove nothing', async () => {
  expect(await isNetworkThere(['http://127.0.0.1:1', 'file:///cache'], signal)).toBe(false);
});
