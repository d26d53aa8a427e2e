import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '@floe/testkit';
import { watchConnections, type ConnectionWatch } from './connections.ts';

/** More than the system keeps for a reader. */
const LARGE = 48 * 1024 * 1024;
/** More than the system takes at once when a reader made room. */
const STEP = 8 * 1024 * 1024;
let server: Server;
let watching: ConnectionWatch;
const sockets: Socket[] = [];
beforeEach(async () => {
  // Its own limit on idle connections is not what is tried.
  server = createServer({ keepAliveTimeout: 0 }, (request, response) => response.end(Buffer.alloc(request.url === '/large' ? LARGE : 10, 'x')));
  watching = watchConnections(server, { maxWaiting: 5, lookMs: 3_600_000, minProgressBytes: 1_024 });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  watching[Symbol.dispose]();
  for (const socket of sockets.splice(0)) socket.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function open(localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, localAddress });
  sockets.push(socket);
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}
const REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

describe('connections without a request', () => {
  test('are so many; of the busiest address the oldest is cut, and others may go on', async () => {
    const quiet = await open('127.0.4.1');
    const busy: Socket[] = [];
    for (let n = 0; n < 20; n += 1) busy.push(await open('127.0.4.2'));
    for (const socket of busy) socket.resume();
    await eventually('the old ones are cut', () => (busy.filter(({ closed }) => closed).length === 16 ? true : undefined));
    expect(busy.slice(-4).some(({ closed }) => closed)).toBe(false);
    const answer = new Promise<Buffer>((resolve) => quiet.once('data', resolve));
    quiet.write(REQUEST);
    expect((await answer).toString()).toMatch(/^HTTP\/1\.1 200/);
  });

  test('count again when they were answered, and no more when they ended', async () => {
    for (let n = 0; n < 12; n += 1) {
      const socket = await open();
      socket.write(REQUEST);
      await new Promise((resolve) => socket.once('data', resolve));
      if (n % 2 === 0) socket.destroy();
    }
    await eventually('some were cut', () => (sockets.filter(({ closed }) => !closed).length <= 5 ? true : undefined));
    expect(sockets.at(-1)?.closed).toBe(false);
  });
});

describe('an answer', () => {
  test('that nobody reads is cut, and one that is read slowly is not', async () => {
    const [unread, slow] = [await open(), await open()];
    for (const socket of [unread, slow]) socket.pause().write(REQUEST.replace('/', '/large'));
    let size = 0;
    slow.on('data', (chunk: Buffer) => {
      // By what was read and not by time, so that it holds on a machine that stands still now and then.
      if (Math.floor((size + chunk.length) / STEP) > Math.floor(size / STEP)) watching.look();
      size += chunk.length;
    });
    slow.resume();
    await eventually('the whole is read', () => (size > LARGE ? true : undefined));
    await eventually('the server has none open that is not read', async () => {
      const count = await new Promise<number>((resolve, reject) =>
        server.getConnections((error, n) => (error === null ? resolve(n) : reject(error))),
      );
      return count === 1 ? true : undefined;
    });
    unread.resume();
    await eventually('it is cut', () => (unread.closed ? true : undefined));
  });
});
