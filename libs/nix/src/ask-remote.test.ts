import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createAskRemote } from './ask-remote.ts';
import { remoteOf, type InputRemote } from './input-remote.ts';

const signal = new AbortController().signal;
const ask = createAskRemote({});

async function listening(server: Server): Promise<{ port: number; [Symbol.asyncDispose](): Promise<void> }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    server.close();
    await once(server, 'close');
  };
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: close };
}
function remote(url: string): InputRemote {
  const found = remoteOf({ type: 'git', url });
  if (found === undefined) throw new Error(url);
  return found;
}

describe('the server of an input', () => {
  it.each([
    [200, false],
    [401, true],
    [403, true],
    [404, true],
    [410, true],
    [301, false],
    [429, false],
    [500, false],
    [503, false],
  ])('refuses with the status %s: %s', async (status, isRefused) => {
    const asked: string[] = [];
    await using server = await listening(
      createHttpServer((req, res) => {
        asked.push(`${req.method} ${req.url} ${req.headers.authorization}`);
        res.writeHead(status, { location: '/elsewhere' }).end();
      }),
    );
    expect(await ask(remote(`http://127.0.0.1:${server.port}/o/r.git/`), { user: 'ada', token: 'x' }, signal)).toBe(isRefused);
    expect(asked).toEqual([`GET /o/r.git/info/refs?service=git-upload-pack Basic ${Buffer.from('ada:x').toString('base64')}`]);
  });

  it('is not known to refuse when it is away, or behind a proxy', async () => {
    expect(await ask(remote('http://127.0.0.1:9/r.git'), undefined, signal)).toBe(false);
    expect(await ask(remote('ssh://git@127.0.0.1:9/r.git'), undefined, signal)).toBe(false);
    await using server = await listening(createHttpServer((_req, res) => res.writeHead(401).end()));
    const url = `http://127.0.0.1:${server.port}/r.git`;
    expect(await ask(remote(url), undefined, signal)).toBe(true);
    expect(await createAskRemote({ https_proxy: 'http://127.0.0.1:9' })(remote(url), undefined, signal)).toBe(false);
    expect(await ask(remote(url), undefined, AbortSignal.abort())).toBe(false);
  });

  it.each([
    ['SSH-2.0-OpenSSH_9.2\r\n', true],
    ['Exceeded MaxStartups\r\n', false],
    ['', false],
  ])('for SSH is there when it says so: %j', async (banner, isThere) => {
    await using server = await listening(createServer((socket) => socket.on('error', () => undefined).end(banner)));
    expect(await ask(remote(`ssh://git@127.0.0.1:${server.port}/r.git`), undefined, signal)).toBe(isThere);
  });
});
