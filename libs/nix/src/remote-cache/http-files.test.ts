import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@floe/runtime';
import { startPutCache, type PutCache } from '@floe/testkit';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { HttpFiles } from './http-files.ts';

let dir: string;
let cache: PutCache;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-http-'));
  cache = await startPutCache(join(dir, 'cache'));
});
afterAll(async () => {
  await cache[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});
beforeEach(() => {
  cache.fault = undefined;
  cache.requests.length = 0;
});

const SILENCE_MS = 300;
const authorize = async (): Promise<Record<string, string>> => {
  const password = /password (\S+)/.exec(cache.netrc)?.[1] ?? '';
  return await Promise.resolve({ authorization: `Basic ${Buffer.from(`floe:${password}`).toString('base64')}` });
};
const clock = { sleep: async () => await Promise.resolve() };
const files = (url = cache.url, signal?: AbortSignal): HttpFiles =>
  new HttpFiles({ url, authorize, clock, signal, silenceMs: SILENCE_MS, adviceOnRefusal: 'replace the login' });

test('a cache that says nothing is away, for each kind of request, and is asked three times', async () => {
  cache.fault = () => ({ kind: 'silent' });
  for (const ask of [
    async () => await files().readText('a.narinfo', 100),
    async () => await files().sizeOf('nar/a'),
    async () => await files().hasInfo(),
    async () => await files().put('a.narinfo', { text: 'a' }),
  ]) {
    cache.requests.length = 0;
    await expect(ask()).rejects.toMatchObject({
      code: 'CACHE_AWAY',
      retryable: true,
      message: expect.stringMatching(/silent for too long/) as string,
    });
    expect(cache.requests).toHaveLength(3);
  }
});

test('a file that takes longer than the limit of silence is sent whole, as long as something moves', async () => {
  const path = join(dir, 'large');
  const bytes = 2 * 1024 * 1024;
  await writeFile(path, Buffer.alloc(bytes, 7));
  cache.fault = () => ({ kind: 'slow', pauseMs: 20 });
  const parts: number[] = [];
  const before = performance.now();
  await files().put('nar/large', { path, bytes }, (part) => parts.push(part));
  expect(performance.now() - before).toBeGreaterThan(SILENCE_MS);
  cache.fault = undefined;
  expect(await files().sizeOf('nar/large')).toBe(bytes);
  expect(parts.reduce((sum, each) => sum + each, 0)).toBe(bytes);
});

test('an answer that has no end is not read, and one that ends in the middle is asked for again', async () => {
  cache.fault = () => ({ kind: 'text', text: 'x'.repeat(1000) });
  await expect(files().readText('a.narinfo', 999)).rejects.toMatchObject({ code: 'CACHE_FOREIGN' });
  const half: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf'));
  });
  half.listen(0, '127.0.0.1');
  await once(half, 'listening');
  const { port } = half.address() as AddressInfo;
  await expect(files(`http://127.0.0.1:${port}`).readText('a.narinfo', 999)).rejects.toMatchObject({ code: 'CACHE_AWAY' });
  half.close();
});

test('what is stopped ends at once, and is no fault of the cache', async () => {
  cache.fault = () => ({ kind: 'silent' });
  const stopping = new AbortController();
  const patient = new HttpFiles({ url: cache.url, clock: systemClock, signal: stopping.signal, adviceOnRefusal: '' });
  const asking = [patient.readText('a', 1), patient.put('a', { text: 'a' })];
  setTimeout(() => stopping.abort(), 50);
  for (const each of await Promise.allSettled(asking)) expect(each).toMatchObject({ status: 'rejected', reason: { code: 'NIX_STOPPED' } });
});

test('a login is sent to the cache alone, also where it sends us elsewhere', async () => {
  const seen: (string | undefined)[] = [];
  const { createServer: createHttp } = await import('node:http');
  const other = createHttp((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(200).end('x');
  });
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const otherUrl = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  await files().sizeOf(`${otherUrl}/nar/a`);
  const redirecting = createHttp((_request, response) => response.writeHead(302, { location: `${otherUrl}/a` }).end());
  redirecting.listen(0, '127.0.0.1');
  await once(redirecting, 'listening');
  const url = `http://127.0.0.1:${(redirecting.address() as AddressInfo).port}`;
  await expect(files(url).readText('a', 10)).rejects.toMatchObject({
    code: 'CACHE_REFUSES',
    message: expect.stringContaining('elsewhere') as string,
  });
  // Without a login it is followed, as hosts do.
  const open = new HttpFiles({ url, clock, adviceOnRefusal: '' });
  expect(await open.readText('a', 10)).toBe('x');
  expect(seen).toEqual([undefined, undefined]);
  for (const server of [other, redirecting]) {
    server.closeAllConnections();
    server.close();
  }
});

test('a cache that answers 403 to what is missing is an empty one to a login that may write, and refuses who has none', async () => {
  cache.fault = (method) => (method === 'PUT' ? undefined : { kind: 'status', status: 403 });
  expect(await files().hasInfo()).toBe(false);
  expect(await files().readText('a.narinfo', 100)).toBeUndefined();
  expect(await files().sizeOf('nar/a')).toBeUndefined();
  await files().put('nix-cache-info', { text: 'StoreDir: /nix/store\n' });
  const anybody = new HttpFiles({ url: cache.url, clock, adviceOnRefusal: 'replace the login' });
  await expect(anybody.hasInfo()).rejects.toMatchObject({ code: 'CACHE_REFUSES' });
  // A login that may nothing is refused at what it writes.
  cache.fault = () => ({ kind: 'status', status: 403 });
  expect(await files().hasInfo()).toBe(false);
  await expect(files().put('nix-cache-info', { text: '' })).rejects.toMatchObject({ code: 'CACHE_REFUSES' });
});
