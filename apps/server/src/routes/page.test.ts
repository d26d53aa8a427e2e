import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import type { Hono } from 'hono';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pageRoutes } from './page.ts';

const SCRIPT = 'console.log("floe");'.repeat(200);
let dir: string;
let app: Hono;
beforeAll(async () => {
  // A folder that is itself called "assets" makes nothing a file of a build.
  dir = join(await mkdtemp(join(tmpdir(), 'floe-page-')), 'assets', 'dist');
  await mkdir(join(dir, 'assets'), { recursive: true });
  await writeFile(join(dir, 'index.html'), '<!doctype html>');
  await writeFile(join(dir, 'assets', 'main-abc.js'), SCRIPT);
  await writeFile(join(dir, 'assets', 'main-abc.js.br'), brotliCompressSync(SCRIPT));
  await writeFile(join(dir, 'assets', 'main-abc.js.gz'), gzipSync(SCRIPT));
  app = pageRoutes(dir);
});
afterAll(async () => await rm(join(dir, '../..'), { recursive: true }));

async function script(encodings: string | undefined) {
  const response = await app.request('/assets/main-abc.js', encodings === undefined ? {} : { headers: { 'accept-encoding': encodings } });
  return { headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
}

test.each([
  ['gzip, deflate, br, zstd', 'br', brotliDecompressSync],
  ['gzip, deflate', 'gzip', gunzipSync],
  ['identity', null, (body: Buffer) => body],
  ['br;q=0, gzip;q=0', null, (body: Buffer) => body],
  [undefined, null, (body: Buffer) => body],
])('who takes %s gets %s, with the same content, type and age', async (encodings, encoding, decode) => {
  const { headers, body } = await script(encodings);
  expect(headers.get('content-encoding')).toBe(encoding);
  expect(headers.get('vary')).toBe('Accept-Encoding');
  expect(headers.get('content-type')).toMatch(/^text\/javascript/);
  expect(headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  expect(Number(headers.get('content-length'))).toBe(body.length);
  expect(decode(body).toString()).toBe(SCRIPT);
});

test('the page that names the files is asked for each time, wherever its folder is, and loads only from here', async () => {
  const { headers } = await app.request('/');
  expect(headers.get('cache-control')).toBe('no-cache');
  expect(headers.get('content-security-policy')).toContain("default-src 'self'");
  expect(headers.get('content-type')).toMatch(/^text\/html/);
});

test.each(['/../page.test.ts', '/assets/..%2f..%2findex.html', '/nothing.js'])('%s is not there', async (path) => {
  expect((await app.request(path)).status).toBe(404);
});
