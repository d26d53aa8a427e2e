import { execFileSync } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, readdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve } from '@hono/node-server';
import { eventually } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { trustProxies } from '../http/client-address.ts';
import { cacheRoutes } from './cache.ts';

const HASH = (letter: string): string => letter.repeat(32);
const NAR = (letter: string): string => `nar/${letter.repeat(52)}.nar.zst`;
let root: string;
let dir: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'floe-cache-'));
  dir = join(root, 'cache');
  await mkdir(join(dir, 'nar'), { recursive: true });
  await writeFile(join(root, 'secret'), 'the key');
  await writeFile(join(dir, 'nix-cache-info'), 'StoreDir: /nix/store\n');
  await writeFile(join(dir, `${HASH('a')}.narinfo`), 'StorePath: a\n');
  await writeFile(join(dir, NAR('a')), Buffer.alloc(300_000, 'x'));
  await writeFile(join(dir, '.hidden.narinfo'), 'x');
  await symlink(join(root, 'secret'), join(dir, `${HASH('b')}.narinfo`));
  await symlink(join(root, 'secret'), join(dir, NAR('b')));
  await mkdir(join(dir, `${HASH('c')}.narinfo`));
  execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', join(dir, NAR('d'))]);
  await mkdir(join(root, 'linked'));
  await symlink(join(dir, 'nar'), join(root, 'linked/nar'));
});
afterAll(async () => await rm(root, { recursive: true, force: true }));

const openFiles = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

describe('the cache', () => {
  test('serves what nix copy writes, whole and in parts', async () => {
    const app = cacheRoutes(dir);
    expect(await (await app.request('/nix-cache-info')).text()).toContain('StoreDir');
    expect(await (await app.request(`/${HASH('a')}.narinfo`)).text()).toBe('StorePath: a\n');
    expect((await (await app.request(`/${NAR('a')}`)).arrayBuffer()).byteLength).toBe(300_000);
    const part = await app.request(`/${NAR('a')}`, { headers: { range: 'bytes=299990-' } });
    expect([part.status, part.headers.get('content-range'), (await part.text()).length]).toEqual([206, 'bytes 299990-299999/300000', 10]);
    expect((await app.request(`/${NAR('a')}`, { headers: { range: 'bytes=300000-' } })).status).toBe(416);
  });

  test.each([
    ['a link to a file elsewhere', `/${HASH('b')}.narinfo`],
    ['a link to an archive elsewhere', `/${NAR('b')}`],
    ['a folder', `/${HASH('c')}.narinfo`],
    ['a pipe', `/${NAR('d')}`],
    ['a hidden file', '/.hidden.narinfo'],
    ['the folder above', '/../secret'],
    ['the folder above, encoded', '/%2e%2e/secret'],
    ['the folder above, with an encoded slash', '/nar/..%2f..%2fsecret'],
    ['twice encoded', '/%252e%252e%252fsecret'],
    ['a NUL', `/${HASH('a')}.narinfo%00`],
    ['a newline', `/${HASH('a')}.narinfo%0a`],
    ['a backslash', '/nar%5c..%5csecret'],
    ['an empty part', `/nar//${'a'.repeat(52)}.nar.zst`],
    ['bytes that are no text', '/%ff%fe'],
  ])('has no %s', async (_name, path) => {
    const answer = await cacheRoutes(dir).request(path);
    expect([answer.status, await answer.text()]).toEqual([404, expect.not.stringContaining('the key')]);
  });

  test('has no file in a folder that is a link', async () => {
    expect((await cacheRoutes(join(root, 'linked')).request(`/${NAR('a')}`)).status).toBe(404);
  });

  test('cuts a download of the busiest address, and not of one that has a single one', async () => {
    const app = cacheRoutes(dir, trustProxies([]), 3);
    const from = async (remoteAddress: string): Promise<Response> =>
      await app.request(`/${NAR('a')}`, {}, { incoming: { socket: { remoteAddress } } as never });
    const quiet = await from('192.0.2.1');
    const busy = [];
    for (let n = 0; n < 10; n += 1) busy.push(await from('192.0.2.2'));
    expect((await quiet.arrayBuffer()).byteLength).toBe(300_000);
    await expect(busy[0]?.arrayBuffer()).rejects.toThrow('the file ended early');
    for (const answer of busy.slice(1)) await answer.body?.cancel().catch(() => undefined);
  });

  test('closes a file that nobody reads to its end, and cuts the oldest download when there are too many', async () => {
    const app = cacheRoutes(dir, trustProxies([]), 3);
    const before = await openFiles();
    const answers = [];
    for (let n = 0; n < 10; n += 1) answers.push(await app.request(`/${NAR('a')}`));
    expect((await openFiles()) - before).toBeLessThanOrEqual(4);
    for (const answer of answers) await answer.body?.cancel().catch(() => undefined);
    for (const path of [NAR('b'), NAR('d'), `${HASH('c')}.narinfo`]) await app.request(`/${path}`);
    await eventually('all are closed', async () => ((await openFiles()) <= before ? true : undefined));
  });

  describe('a file that changes while it is sent', () => {
    const big = 64 * 1024 * 1024;
    let server: Server;
    let url: string;
    let path: string;
    beforeEach(async () => {
      path = join(dir, NAR('e'));
      await writeFile(path, '');
      await truncate(path, big);
      const { fetch } = cacheRoutes(dir);
      const started = Promise.withResolvers<void>();
      server = serve({ fetch, port: 0, hostname: '127.0.0.1' }, () => started.resolve()) as Server;
      await started.promise;
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    afterEach(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });

    test('and grows: not a byte more than was announced goes out, or it would be taken for the next answer', async () => {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      socket.write(`GET /${NAR('e')} HTTP/1.1\r\nhost: x\r\n\r\nGET /nix-cache-info HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      const received: Buffer[] = [];
      for await (const chunk of socket) {
        if (received.length === 0) await appendFile(path, 'more');
        received.push(chunk as Buffer);
      }
      const bytes = Buffer.concat(received);
      const end = bytes.indexOf('\r\n\r\n') + 4 + big;
      expect(bytes.subarray(end, end + 12).toString()).toBe('HTTP/1.1 200');
    });

    test('and becomes shorter: the download breaks at once, and nobody waits for the rest', async () => {
      const answer = await fetch(`${url}/${NAR('e')}`);
      await truncate(path, 1000);
      await expect(answer.arrayBuffer()).rejects.toThrow('terminated');
    });

    test('and is replaced or removed: what was begun is sent whole', async () => {
      const [first, second] = [await fetch(`${url}/${NAR('e')}`), await fetch(`${url}/${NAR('e')}`)];
      await writeFile(`${path}.new`, 'other');
      await rename(`${path}.new`, path);
      expect((await first.arrayBuffer()).byteLength).toBe(big);
      await rm(path);
      expect((await second.arrayBuffer()).byteLength).toBe(big);
    });
  });

  test('has the length of a file without its bytes, for HEAD', async () => {
    const answer = await cacheRoutes(dir).request(`/${NAR('a')}`, { method: 'HEAD' });
    expect([answer.status, answer.headers.get('content-length'), answer.headers.get('accept-ranges'), await answer.text()]).toEqual([
      200,
      '300000',
      'bytes',
      '',
    ]);
  });
});
