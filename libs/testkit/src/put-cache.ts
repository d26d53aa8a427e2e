import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** What a cache does wrong with a request. */
export type CacheFault =
  | { readonly kind: 'status'; readonly status: number }
  /** It never answers. */
  | { readonly kind: 'silent' }
  /** It takes a file by bits, with pauses between. */
  | { readonly kind: 'slow'; readonly pauseMs: number }
  | { readonly kind: 'closes' }
  /** It answers with this. */
  | { readonly kind: 'text'; readonly text: string };

/** A cache in a folder that takes files by PUT, with a login, and gives them to everybody. */
export interface PutCache extends AsyncDisposable {
  readonly url: string;
  readonly dir: string;
  /** A netrc file with its login. */
  readonly netrc: string;
  /** All requests, as `PUT /nar/…`. */
  readonly requests: string[];
  /** What goes wrong. Undefined: nothing. */
  fault: ((method: string, name: string) => CacheFault | undefined) | undefined;
}

const PASSWORD = 'a-password-of-the-cache';

export async function startPutCache(dir: string): Promise<PutCache> {
  await mkdir(dir, { recursive: true });
  const requests: string[] = [];
  let writes = 0;
  const expected = `Basic ${Buffer.from(`floe:${PASSWORD}`).toString('base64')}`;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '' } = request;
    requests.push(`${method} ${path}`);
    const fault = cache.fault?.(method, path.slice(1));
    const end = (status: number, text = ''): void => void response.writeHead(status, { 'content-length': Buffer.byteLength(text) }).end(text);
    switch (fault?.kind) {
      case 'status':
        return end(fault.status);
      case 'silent':
        return undefined;
      case 'closes':
        return void request.socket.destroy();
      case 'text':
        return end(200, fault.text);
      case 'slow':
      case undefined:
    }
    const file = join(dir, path);
    if (method === 'PUT') {
      if (request.headers.authorization !== expected) return end(401);
      await mkdir(dirname(file), { recursive: true });
      const written = `${file}.${(writes += 1)}`;
      const announced = Number(request.headers['content-length']);
      const pausing = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
        for await (const chunk of source) {
          if (fault?.kind === 'slow') await new Promise((resolve) => void setTimeout(resolve, fault.pauseMs));
          yield chunk;
        }
      };
      await pipeline(request, pausing, createWriteStream(written));
      if ((await stat(written)).size !== announced) return end(400);
      await rename(written, file);
      return end(201);
    }
    const found = await stat(file).catch(() => undefined);
    if (found?.isFile() !== true) return end(404);
    response.writeHead(200, { 'content-length': found.size });
    if (method === 'HEAD') response.end();
    else await pipeline(createReadStream(file), response);
  }

  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const cache: PutCache = {
    url: `http://127.0.0.1:${port}`,
    dir,
    netrc: `machine 127.0.0.1\n  login floe\n  password ${PASSWORD}\n`,
    requests,
    fault: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return cache;
}
